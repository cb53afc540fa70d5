"""The samples of one part of a task, and how their pixels are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

from nas.data.digest import digest
from spaces.notation.errors import UserError

Draw = tuple[int, ...]  # what the random numbers of a batch are seeded by
Batch = tuple[torch.Tensor, torch.Tensor]  # x float32 (N, C, H, W), channels_last; y int64 (N,)


class Samples(Protocol):
    """One part of a task's samples, wherever their pixels are: in memory (`Split`) or in files (`FolderSplit`)."""

    @property
    def labels(self) -> torch.Tensor:
        """int64 (N,), on the device on which samples are drawn."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of one image."""

    @property
    def device(self) -> torch.device:
        """The device of the batches."""

    @property
    def features(self) -> torch.Tensor | None:
        """float32 (N, F), standardised: the numbers beside each sample; None without any."""

    @property
    def ahead(self) -> int:
        """How many batches should be requested before they are needed."""

    @property
    def digest(self) -> str:
        """A name for exactly these samples, wherever they lie."""

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> Samples: ...

    def at(self, index: torch.Tensor) -> Samples:
        """The part at these places, in this order."""

    def request(self, index: torch.Tensor, draw: Draw | None) -> Callable[[], Batch]:
        """Begin to read the samples at `index`; the result waits for their uint8 (N, H, W, C) and int64 (N,).

        `draw` seeds what is random in reading files; None reads them as evaluation does.
        """


@dataclass(frozen=True, eq=False)
class Split:
    """Samples in memory: `images` uint8 (N, H, W, C), `labels` int64 (N,) and `features` float32 (N, F), or None."""

    images: torch.Tensor
    labels: torch.Tensor
    features: torch.Tensor | None = None
    ahead = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.images.shape
        return height, width, channels

    @property
    def device(self) -> torch.device:
        return self.images.device

    @cached_property
    def digest(self) -> str:
        """A digest of pixels, labels and features."""
        return digest(self.images, self.labels, self.features)

    def to(self, device: torch.device) -> Split:
        return Split(self.images.to(device), self.labels.to(device), None if self.features is None else self.features.to(device))

    def at(self, index: torch.Tensor) -> Split:
        return Split(self.images[index], self.labels[index], None if self.features is None else self.features[index])

    def request(self, index: torch.Tensor, draw: Draw | None) -> Callable[[], Batch]:
        return lambda: (self.images.index_select(0, index), self.labels.index_select(0, index))


def num_batches(num_samples: int, batch_size: int) -> int:
    """How many whole batches the samples make; a batch size outside 1..num_samples is a UserError."""
    if not 1 <= batch_size <= num_samples:
        raise UserError(
            f"a batch holds 1..{num_samples} samples, as many as its split, got batch size {batch_size}; choose one in that range"
        )
    return num_samples // batch_size
