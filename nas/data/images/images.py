"""Tasks of images, and their batches: cropped, flipped, cut out and normalised whole, on the device of the images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from methods.training.class_limit import ClassLimit
from nas.data.class_limited import ClassLimited
from nas.data.features import beside
from nas.data.images.augmentation import EVAL_ZOOM, NONE, Augmentation, cut_out, normalised, row_constants, windows
from nas.data.images.samples import Batch, Samples, num_batches
from nas.data.task_parts import TaskParts
from nas.records.log import Cell
from spaces.network import PixelScale


@dataclass(frozen=True, eq=False)
class Images(TaskParts[Samples]):
    """An image classification task: its splits, and the constants of its training split.

    `mean` and `std` are those of the training pixels scaled to 0..1, one a channel, unless the task is given others: papers
    take constants over the whole training set, which differ from these in the third digit, or round ones.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation = NONE

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        height, width, channels = self.train.image_shape
        return channels, height, width

    @property
    def pixels(self) -> PixelScale:
        """How the inputs were made of pixels."""
        return PixelScale(self.mean, self.std)

    @property
    def vectors(self) -> None:
        """Pixels start from no word vectors."""

    @property
    def content(self) -> dict[str, Cell]:
        """A digest of the images and labels for training and validation."""
        return {"data_digest": self.digest}

    @property
    def inputs(self) -> dict[str, Any]:
        """Shape (C, H, W), mean and std of a channel, the zoom before the middle is cut out, the classes, and how features
        beside them are scaled."""
        zoom = EVAL_ZOOM if self.augmentation.resized_crop else 1.0
        return {
            "kind": "images",
            "shape": list(self.input_shape),
            "mean": list(self.mean),
            "std": list(self.std),
            "zoom": zoom,
            "classes": list(self.classes or map(str, range(self.num_classes))),
            "features": self.feature_scale and self.feature_scale.facts,
        }

    def facts(self, folder: Path) -> dict[str, Cell]:
        """Nothing that the settings do not say."""
        return {}

    def train_batches(self, batch_size: int, *, limit: ClassLimit | None = None) -> Batches:
        """`Batches` of the training split, augmented."""
        return Batches(self, batch_size, limit=limit)

    def random_batches(self, part: Samples, batch_size: int) -> Batches:
        """Random batches of any part, not augmented."""
        return Batches(self, batch_size, split=part, augmentation=NONE)

    def eval_batches(self, part: Samples, batch_size: int) -> Iterator[Batch]:
        """Batches of the part in its order, not augmented."""
        return eval_batches(self, part, batch_size)


class Batches:
    """Random batches of one split, each a function of (seed, iteration) alone, so training resumes without saved state.

    An epoch is a permutation drawn from (seed, epoch); its last, incomplete batch is left out. With a `limit` its first
    iterations are drawn by `ClassLimited` instead. All that is random is drawn on the CPU, so a seed gives the same crops
    on every device, and nothing waits for the device.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        *,
        split: Samples | None = None,
        augmentation: Augmentation | None = None,
        limit: ClassLimit | None = None,
    ) -> None:
        """Of the training split, augmented as the task says, unless another `split` or `augmentation` is given.

        A batch size outside 1..len(split) and a limit that the split cannot keep are UserErrors.
        """
        self._split = images.train if split is None else split
        self.num_batches = num_batches(len(self._split), batch_size)  # an epoch's
        self.batch_size = batch_size
        self._augmentation = images.augmentation if augmentation is None else augmentation
        self._constants = row_constants(images.mean, images.std, images.input_shape[2], self._split.device)
        self._limited_until = limit.iterations if limit else 0
        self._limited = ClassLimited(self._split.labels, images.num_classes, limit.num, batch_size) if limit else None
        self._epoch: tuple[tuple[int, int], torch.Tensor] | None = None
        self._requested: dict[tuple[int, int], Callable[[], Batch]] = {}

    def batch(self, seed: int, iteration: int) -> Batch:
        """x float32 (N, C, H, W) in channels_last, with the features beside it if there are any, and y int64 (N,), on the device
        of the split; seeds and iterations are >= 0."""
        pixels, y = self._read(seed, iteration)
        top, left, flip, cut_y, cut_x = self._draws(seed, iteration).to(pixels.device, non_blocking=True)
        augmentation = self._augmentation
        x = normalised(windows(pixels, augmentation.crop, augmentation.padding, top, left, flip), self._constants)
        if augmentation.cutout:
            cut_out(x, cut_y, cut_x, augmentation.cutout)
        features = self._split.features
        return (x if features is None else beside(x, features, self._index(seed, iteration))), y

    def _read(self, seed: int, iteration: int) -> Batch:
        """The batch's pixels and labels; as many batches behind it are requested as the split likes."""
        requested: dict[tuple[int, int], Callable[[], Batch]] = {}
        for number in range(iteration, iteration + 1 + self._split.ahead):
            known = self._requested.get((seed, number))
            draw = (seed, 3, number) if self._augmentation.resized_crop else None
            requested[seed, number] = known or self._split.request(self._index(seed, number), draw)
        self._requested = requested
        return requested.pop((seed, iteration))()

    def _index(self, seed: int, iteration: int) -> torch.Tensor:
        """int64 (batch_size,): the samples of the batch."""
        if self._limited is not None and iteration < self._limited_until:
            index = self._limited.index(np.random.default_rng((seed, 2, iteration)))
            return torch.from_numpy(index).to(self._split.labels.device, non_blocking=True)
        epoch, position = divmod(iteration, self.num_batches)
        return self._order(seed, epoch)[position * self.batch_size :][: self.batch_size]

    def _draws(self, seed: int, iteration: int) -> torch.Tensor:
        """int64 (5, N): the crop's offset from the top and from the left, flip or not, the cut-out's centre (y, x)."""
        offsets = 2 * self._augmentation.crop + 1
        limits = (offsets, offsets, 1 + self._augmentation.flip, *self._split.image_shape[:2])
        generator = np.random.default_rng((seed, 0, iteration))
        return torch.from_numpy(generator.integers(np.array(limits)[:, None], size=(5, self.batch_size)))

    def _order(self, seed: int, epoch: int) -> torch.Tensor:
        """The epoch's permutation of the split; the one last asked for is kept."""
        if self._epoch is None or self._epoch[0] != (seed, epoch):
            order = np.random.default_rng((seed, 1, epoch)).permutation(len(self._split))
            self._epoch = (seed, epoch), torch.from_numpy(order).to(self._split.labels.device, non_blocking=True)
        return self._epoch[1]


def eval_batches(images: Images, split: Samples, batch_size: int) -> Iterator[Batch]:
    """The samples of `split` once, in order, normalised as in training, not augmented; the last batch may be smaller."""
    constants = row_constants(images.mean, images.std, images.input_shape[2], split.device)
    requested: deque[tuple[Callable[[], Batch], torch.Tensor]] = deque()

    def evaluated(read: Callable[[], Batch], index: torch.Tensor) -> Batch:
        pixels, labels = read()
        return beside(normalised(pixels, constants), split.features, index), labels

    for index in torch.arange(len(split), device=split.labels.device).split(batch_size):
        requested.append((split.request(index, None), index))
        if len(requested) > split.ahead:
            yield evaluated(*requested.popleft())
    for waiting in requested:
        yield evaluated(*waiting)
