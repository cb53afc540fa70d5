"""Batches that hold samples of a few classes only."""

from __future__ import annotations

import numpy as np
import torch

from spaces.notation.errors import UserError


class ClassLimited:
    """Draws batches of `num` random classes, every class as likely; a batch holds as many samples of each, or one more.

    Within a class every sample is as likely, and none comes twice. Similarity losses see more pairs of one class this way
    (Noekland & Eidnes 2019, arXiv 1901.06656, `--classes-per-batch`, which aims for the number; here it is exact). The
    index of samples by class is built once, in O(N); a batch takes O(batch_size).
    """

    def __init__(self, labels: torch.Tensor, num_classes: int, num: int, batch_size: int) -> None:
        """`num` outside 1..num_classes - 1 or above the batch size, and a class with too few samples, are UserErrors."""
        if not 1 <= num < num_classes:
            raise UserError(
                f"a batch is limited to 1..{num_classes - 1} of the task's {num_classes} classes, got num={num}; "
                "for all of them leave the limit out"
            )
        if num > batch_size:
            raise UserError(
                f"a batch of {batch_size} samples holds at most {batch_size} classes, got num={num}; choose a "
                "larger batch or a smaller num"
            )
        by_class = labels.cpu().numpy().astype(np.uint16)
        self._num_samples = np.bincount(by_class, minlength=num_classes)
        most = -(-batch_size // num)
        if self._num_samples.min() < most:
            raise UserError(
                f"a batch of {batch_size} samples takes {most} of each of its {num} classes, but class "
                f"{self._num_samples.argmin()} has {self._num_samples.min()}; choose a smaller batch or a larger num"
            )
        self._samples = np.argsort(by_class, kind="stable")  # a radix sort, for 16 bits
        self._first = np.cumsum(self._num_samples) - self._num_samples
        self._quotas = np.full(num, batch_size // num) + (np.arange(num) < batch_size % num)

    def index(self, random: np.random.Generator) -> np.ndarray:
        """int64 (batch_size,): the numbers of the samples of one batch, class after class."""
        drawn = random.choice(len(self._first), len(self._quotas), replace=False)
        places = [
            self._first[label] + random.choice(self._num_samples[label], quota, replace=False, shuffle=False)
            for label, quota in zip(drawn, self._quotas, strict=True)
        ]
        return self._samples[np.concatenate(places)]
