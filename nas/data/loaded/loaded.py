"""The task of a user's own data sets and loaders, and its batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from methods.training.class_limit import ClassLimit
from nas.data.class_limited import ClassLimited
from nas.data.images.augmentation import normalised, row_constants
from nas.data.loaded.collated import Collated, Form
from nas.data.loaded.indexed import IndexedDraws, IndexedPart
from nas.data.loaded.streams import StreamDraws, StreamPart
from nas.data.task_data import Batch
from nas.data.task_parts import TaskParts
from nas.records.log import Cell
from spaces.activation import TextShape, WithFeatures
from spaces.network import PixelScale
from spaces.notation.errors import UserError

LoadedPart = IndexedPart | StreamPart


@dataclass(frozen=True, eq=False)
class Loaded(TaskParts[LoadedPart]):
    """A classification task whose samples a user's own code makes, with its own transforms.

    form       what every sample is
    mean, std  of pixels in 0..1, one a channel: what the batches of pixels are normalised by, or what numbers were normalised by
               in the data set; None where nothing says so
    length     how many tokens of a text are kept; 0 where there are none
    """

    form: Form
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    length: int
    vectors = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of images, the shape of other numbers, or a `TextShape`."""
        return TextShape(self.length, self.form.num_words or 0) if self.form.kind == "ids" else self.form.shape

    @property
    def pixels(self) -> PixelScale | None:
        """How pixels became inputs; None where nothing says that these are pixels."""
        return None if self.mean is None or self.std is None else PixelScale(self.mean, self.std)

    @property
    def num_features(self) -> int:
        """How many numbers stand beside each sample."""
        return self.form.num_features

    @property
    def content(self) -> dict[str, Cell]:
        """A digest of the samples for training and validation, or of their version."""
        return {"data_digest": self.digest}

    @property
    def inputs(self) -> dict[str, Any]:
        """What a network is given and the classes; of images also what pixels are normalised by."""
        known = {
            "classes": list(self.classes or map(str, range(self.num_classes))),
            "features": self.feature_scale and self.feature_scale.facts,
        }
        if self.mean is not None and self.std is not None:
            shape, scale = list(self.form.shape), {"mean": list(self.mean), "std": list(self.std)}
            return {"kind": "images", "shape": shape, **scale, "zoom": 1.0, **known}
        shape = [self.length] if self.form.kind == "ids" else list(self.form.shape)
        return {"kind": "tensors", "shape": shape, "num_words": self.form.num_words or 0, **known}

    def facts(self, folder: Path) -> dict[str, Cell]:
        """Nothing that the settings do not say."""
        return {}

    def scaled(self, share: float) -> Self:
        """For a trial: a random `share` of training and validation. Of a stream there is none, which is a UserError."""
        for part in (self.train, self.validation):
            if isinstance(part, StreamPart):
                raise UserError(
                    f"a trial takes a share of numbered samples, got a stream as {part.source.name}; leave out --scale, or give "
                    "a map-style data set"
                )
        return super().scaled(share)

    def train_batches(self, batch_size: int, *, limit: ClassLimit | None = None) -> LoadedBatches:
        """Random batches of the training part, with the data set's own transforms."""
        if isinstance(self.train, IndexedPart):
            limited = ClassLimited(self.train.labels, self.num_classes, limit.num, batch_size) if limit else None
            draws = IndexedDraws(
                self.train, batch_size, augmented=True, limited=limited, limited_until=limit.iterations if limit else 0
            )
            return LoadedBatches(self, draws, self.train.device)
        if limit:
            raise UserError("batches of a few classes are drawn from numbered samples, got a stream; give a map-style data set")
        return LoadedBatches(self, StreamDraws(self.train, batch_size), self.train.device)

    def random_batches(self, part: LoadedPart, batch_size: int) -> LoadedBatches:
        """Random batches of any part, each sample read as evaluation reads it; of a stream, its own batches."""
        draws = (
            IndexedDraws(part, batch_size, augmented=False) if isinstance(part, IndexedPart) else StreamDraws(part, batch_size)
        )
        return LoadedBatches(self, draws, part.device)

    def eval_batches(self, part: LoadedPart, batch_size: int) -> Iterator[Batch]:
        """Every sample of the part once, in order; the last batch may be smaller."""
        for samples in part.in_order(batch_size):
            yield self.batch(samples, part.device)

    def batch(self, samples: Collated, device: torch.device) -> Batch:
        """The samples as a network takes them, on the device: pixels normalised, images in channels_last, and y int64 (N,)."""
        x, y, features = (None if part is None else _sent(part, device) for part in samples)
        assert x is not None and y is not None
        if samples.kind == "pixels":
            assert self.mean is not None and self.std is not None, "pixels have constants"
            x = normalised(x.permute(0, 2, 3, 1).contiguous(), row_constants(self.mean, self.std, x.shape[3], device))
        elif x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        return x if features is None else WithFeatures(x, features), y  # type: ignore[return-value]


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On the device; to a GPU out of page-locked memory, so that nothing waits for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class LoadedBatches:
    """Batches that are drawn on the CPU, as a network takes them."""

    def __init__(self, data: Loaded, draws: IndexedDraws | StreamDraws, device: torch.device) -> None:
        self.num_batches, self.batch_size = draws.num_batches, draws.batch_size
        self._data, self._draws, self._device = data, draws, device

    def batch(self, seed: int, iteration: int) -> Batch:
        """The batch, on the device of its part; seeds and iterations are >= 0."""
        return self._data.batch(self._draws.batch(seed, iteration), self._device)
