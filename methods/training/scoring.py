"""What a validation or test split says of a method: the share of wrong answers, and the loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn import functional as F

from methods.method import Method
from methods.training.batches import Batch
from methods.training.settings import Precision


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The precision of a forward pass."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


class ErrorAndLoss:
    """The share of wrong answers and the mean cross-entropy (no smoothing) of the batches that were added. The sums stay on the
    device until the end."""

    def __init__(self) -> None:
        self._count, self._sums = 0, torch.zeros(())

    def add(self, logits: torch.Tensor, y: torch.Tensor) -> None:
        """Logits (N, classes) of a batch with the labels y (N,)."""
        logits = logits.float()
        wrong = (logits.argmax(1) != y).sum()
        self._sums = self._sums.to(y.device) + torch.stack([wrong, F.cross_entropy(logits, y, reduction="sum")]).double()
        self._count += len(y)

    def read(self) -> tuple[float, float]:
        """Both, of all that was added."""
        wrong_share, loss = (self._sums / self._count).tolist()
        return wrong_share, loss


@torch.no_grad()
def error_and_loss(
    method: Method, batches: Iterator[Batch], precision: Precision, exit: int | None = None
) -> tuple[float, float]:
    """The share of wrong answers and the mean cross-entropy (no smoothing), in evaluation mode.

    Of exit k = `exit`, whose later blocks do not run, or of the whole network.
    """
    training, found = method.training, ErrorAndLoss()
    method.eval()
    for x, y in batches:
        with autocast(y.device, precision):
            logits = method(x) if exit is None else method.exit(exit, x)
        found.add(logits, y)
    method.train(training)
    return found.read()
