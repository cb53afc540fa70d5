"""Tasks of images, and their batches: cropped, flipped, cut out and normalised whole, on the device of the images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from spaces.errors import UserError

Batch = tuple[torch.Tensor, torch.Tensor]  # x float32 (N, C, H, W), channels_last; y int64 (N,)


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a task's samples: `images` uint8 (N, H, W, C) and `labels` int64 (N,)."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Split:
        return Split(self.images.to(device), self.labels.to(device))

    def part(self, share: float) -> Split:
        """A random `share` of the samples, rounded but at least one: the same at every call, in their order."""
        index = random_part(len(self), share).to(self.labels.device)
        return Split(self.images[index], self.labels[index])


@dataclass(frozen=True)
class Augmentation:
    """What a random batch does to its images; `Augmentation()` leaves them as they are.

    `crop`: the image is padded by so many black pixels a side and a window of its own size is drawn. `flip`: left and
    right are swapped in half of the images. `cutout`: a square of so many pixels a side, its centre uniform over the
    image, becomes the training mean, and what overhangs is dropped (DeVries & Taylor 2017, arXiv 1708.04552).
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0


@dataclass(frozen=True, eq=False)
class Images:
    """An image classification task: its splits, and the constants of its training split.

    `mean` and `std` are those of the training pixels scaled to 0..1, one a channel. Papers print constants taken over
    the whole training set, which differ from these in the third digit. The test split stays unread until `test()`.
    """

    train: Split
    validation: Split
    read_test: Callable[[], Split]
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation = Augmentation()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one sample."""
        _, height, width, channels = self.train.images.shape
        return channels, height, width

    def test(self) -> Split:
        """Read the test split, onto the device of the others; an unreadable one is a UserError."""
        return self.read_test().to(self.train.images.device)

    def scaled(self, share: float) -> Images:
        """For a trial: a random `share` of training and validation; the test split, mean and std stay those of the whole."""
        return replace(self, train=self.train.part(share), validation=self.validation.part(share))

    def to(self, device: torch.device) -> Images:
        return replace(self, train=self.train.to(device), validation=self.validation.to(device))


def random_part(count: int, share: float) -> torch.Tensor:
    """int64: a random `share` of 0..count - 1, rounded but at least one of them, rising; the same at every call."""
    chosen = np.random.default_rng((0, 2)).permutation(count)[:max(1, round(share * count))]
    return torch.from_numpy(np.sort(chosen))


class Batches:
    """Random batches of one split, each a function of (seed, iteration) alone, so training resumes without saved state.

    An epoch is a permutation drawn from (seed, epoch); its last, incomplete batch is left out. All that is random is
    drawn on the CPU, so a seed gives the same crops on every device, and nothing waits for the device.
    """

    def __init__(self, images: Images, batch_size: int, *, split: Split | None = None,
                 augmentation: Augmentation | None = None) -> None:
        """Of the training split, augmented as the task says, unless another `split` or `augmentation` is given.

        A batch size outside 1..len(split) is a UserError.
        """
        self._split = images.train if split is None else split
        if not 1 <= batch_size <= len(self._split):
            raise UserError(f"a batch holds 1..{len(self._split)} samples, as many as its split, but batch size "
                            f"{batch_size} came; choose one in that range")
        self.batch_size = batch_size
        self.num_batches = len(self._split) // batch_size  # an epoch's
        self._augmentation = images.augmentation if augmentation is None else augmentation
        self._constants = _constants(images, self._split.images.device)
        self._epoch: tuple[tuple[int, int], torch.Tensor] | None = None

    def batch(self, seed: int, iteration: int) -> Batch:
        """x float32 (N, C, H, W) in channels_last, y int64 (N,), on the device of the split; seeds and iterations are >= 0."""
        epoch, position = divmod(iteration, self.num_batches)
        index = self._order(seed, epoch)[position * self.batch_size:][:self.batch_size]
        top, left, flip, cut_y, cut_x = self._draws(seed, iteration).to(index.device, non_blocking=True)
        pixels = _windows(self._split.images.index_select(0, index), self._augmentation.crop, top, left, flip)
        x = _normalised(pixels, self._constants)
        if self._augmentation.cutout:
            _cut_out(x, cut_y, cut_x, self._augmentation.cutout)
        return x, self._split.labels.index_select(0, index)

    def _draws(self, seed: int, iteration: int) -> torch.Tensor:
        """int64 (5, N): the crop's offset from the top and from the left, flip or not, the cut-out's centre (y, x)."""
        offsets = 2 * self._augmentation.crop + 1
        limits = (offsets, offsets, 1 + self._augmentation.flip, *self._split.images.shape[1:3])
        generator = np.random.default_rng((seed, 0, iteration))
        return torch.from_numpy(generator.integers(np.array(limits)[:, None], size=(5, self.batch_size)))

    def _order(self, seed: int, epoch: int) -> torch.Tensor:
        """The epoch's permutation of the split; the one last asked for is kept."""
        if self._epoch is None or self._epoch[0] != (seed, epoch):
            order = np.random.default_rng((seed, 1, epoch)).permutation(len(self._split))
            self._epoch = (seed, epoch), torch.from_numpy(order).to(self._split.labels.device, non_blocking=True)
        return self._epoch[1]


def eval_batches(images: Images, split: Split, batch_size: int) -> Iterator[Batch]:
    """The samples of `split` once, in order, normalised as in training, not augmented; the last batch may be smaller."""
    constants = _constants(images, split.images.device)
    for batch, labels in zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True):
        yield _normalised(batch, constants), labels


def _windows(images: torch.Tensor, pad: int, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
    """Of each uint8 (N, H, W, C), mirrored where `flip` is 1 and padded with zeros, the (H, W) window at (top, left).

    Every window of every image, mirrored or not, is a view; one lookup copies those that are wanted.
    """
    count, height, width, _ = images.shape
    padded = functional.pad(torch.stack([images, images.flip(2)]), (0, 0, pad, pad, pad, pad))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1).permute(0, 1, 2, 3, 5, 6, 4)
    return windows[flip, torch.arange(count, device=images.device), top, left]


def _constants(images: Images, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and summand for the W * C numbers of a row: sums over whole rows are vectorised, over C channels not."""
    mean, std = torch.tensor(images.mean, dtype=torch.float64), torch.tensor(images.std, dtype=torch.float64)
    factor, summand, width = 1 / (255 * std), -mean / std, images.input_shape[2]
    return factor.repeat(width).to(device, torch.float32), summand.repeat(width).to(device, torch.float32)


def _normalised(pixels: torch.Tensor, constants: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """uint8 (N, H, W, C) -> (pixel / 255 - mean) / std, float32 (N, C, H, W) in channels_last."""
    factor, summand = constants
    rows = pixels.reshape(-1, len(factor)).float()
    return torch.addcmul(summand, rows, factor, out=rows).view(pixels.shape).permute(0, 3, 1, 2)


def _cut_out(x: torch.Tensor, centre_y: torch.Tensor, centre_x: torch.Tensor, side: int) -> None:
    """Set a square of each (C, H, W), where it lies inside, to 0, which is the mean of normalised pixels."""
    _, channels, height, width = x.shape
    y = torch.arange(height, device=x.device)
    x_of_row = torch.arange(width * channels, device=x.device) // channels  # whole rows, for the reason of _constants
    hole = _covered(y, centre_y, side)[:, :, None] * _covered(x_of_row, centre_x, side)[:, None, :]
    x.permute(0, 2, 3, 1).view(hole.shape).mul_(1 - hole)


def _covered(places: torch.Tensor, centres: torch.Tensor, side: int) -> torch.Tensor:
    """float32 (N, places): 1 in the `side` places from centre - side // 2 on, else 0."""
    distance = places - (centres[:, None] - side // 2)
    return ((distance >= 0) & (distance < side)).float()
