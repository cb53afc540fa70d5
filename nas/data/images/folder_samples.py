"""Images that are too many for memory: read from their files by worker processes, a few batches ahead."""

from __future__ import annotations

import multiprocessing
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Self

import numpy as np
import torch

from nas.cores import usable_cores
from nas.data.available_memory import available_memory
from nas.data.digest import digest
from nas.data.images.augmentation import EVAL_ZOOM
from nas.data.images.image_files import shown
from nas.data.images.image_reader import ImageSource, middle, read_image
from nas.data.images.samples import Batch, Draw, Split
from nas.data.images.torchvision_import import torchvision
from nas.data.worker_process import script_left_out, signals_left_to_parent, start_worker, this_module_path
from spaces.notation.errors import UserError

CPU = torch.device("cpu")
MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of channels
AT_ONCE = 512  # images that are on their way to memory
CHUNK = 16  # the most images that a worker reads at a time; of a batch less where that gives work to more of them


class UnreadImages(ABC):
    """Samples that are read when they are asked for, as `channels` (1 or 3) of `size` x `size` pixels; `labels` int64 (N,).

    For training a `RandomResizedCrop` of torchvision's, seeded by the batch's draw and the place in it, so that it is the
    same whatever process reads it; for evaluation the shorter side becomes 256/224 of `size` and the middle is cut out.
    An image that cannot be read is a UserError that names it.
    """

    labels: torch.Tensor
    size: int
    channels: int
    device: torch.device
    ahead = 2
    features = None

    @property
    @abstractmethod
    def digest(self) -> str:
        """A name for exactly these samples."""

    @abstractmethod
    def at(self, index: torch.Tensor) -> Self:
        """The part at these places, in this order."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """Batches of it come on the device."""

    @abstractmethod
    def sources(self, index: torch.Tensor) -> list[ImageSource]:
        """Where the images at these places are read from."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape (H, W, C) of one image."""
        return self.size, self.size, self.channels

    def request(self, index: torch.Tensor, draw: Draw | None) -> Callable[[], Batch]:
        """Begin to read the samples at `index`; the result waits for their pixels and labels."""
        labels = self.labels[index]
        parts = in_parallel(read_resized, self.sources(index), self.size, draw, self.channels)
        return lambda: (_sent(torch.from_numpy(gathered(parts)), self.device), _sent(labels, self.device))

    def in_memory(self) -> Split:
        """All of them, scaled until their shorter side is `size`, the middle cut out; more than memory is a UserError."""
        needed, available = len(self) * self.size**2 * self.channels, available_memory()
        if available is not None and needed > available:
            raise UserError(
                f"{len(self):,} images of {self.size}x{self.size} pixels take {needed:,} bytes of memory, got {available:,} "
                "free; leave crop out to have them read while training, or take a smaller size"
            )
        pixels = np.empty((len(self), *self.image_shape), dtype=np.uint8)
        for places in torch.arange(len(self)).split(AT_ONCE):
            pixels[places.numpy()] = gathered(in_parallel(read_middle, self.sources(places), self.size, self.channels))
        return Split(torch.from_numpy(pixels), self.labels)


@dataclass(frozen=True, eq=False)
class FolderSplit(UnreadImages):
    """Images in files: `files` below `folder`."""

    folder: Path
    files: Sequence[str]
    labels: torch.Tensor
    size: int
    device: torch.device = CPU
    channels: int = 3

    @cached_property
    def digest(self) -> str:
        """Of the files' names, sizes and times, and the labels: reading all pixels would take as long as an epoch.

        The times are those of the last change, in nanoseconds. Archives and `cp -a` or `rsync -a` keep them; a copy that does
        not counts as other data, since a number that is trained twice is better than one that is wrong.
        """
        try:
            found = map(os.stat, (f"{self.folder}/{file}" for file in self.files))
            facts = [(status.st_size, status.st_mtime_ns) for status in found]
        except OSError as error:
            raise UserError(
                f"the image {error.filename} is missing ({error.strerror}); restore it from the original data set"
            ) from None
        return digest(list(self.files), torch.tensor(facts), self.labels)

    def at(self, index: torch.Tensor) -> Self:
        """The part at these places, in this order."""
        return replace(self, files=[self.files[i] for i in index.tolist()], labels=self.labels[index])

    def to(self, device: torch.device) -> Self:
        """Batches of it come on the device."""
        return replace(self, device=device)

    def sources(self, index: torch.Tensor) -> list[ImageSource]:
        """Their files."""
        return [self.folder / self.files[i] for i in index.tolist()]


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy on the device; to a GPU out of page-locked memory, so that nothing waits for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def in_parallel(read: Callable[..., np.ndarray], paths: Sequence[ImageSource], *settings: object) -> list[Future[np.ndarray]]:
    """Have the workers call `read(paths, first, *settings)` on runs of paths; `first` is the place of the run's first."""
    # Workers stay in the folder in which they started.
    places = [path.absolute() if isinstance(path, Path) else path for path in paths]
    chunk = min(CHUNK, max(1, -(-len(paths) // usable_cores())))
    with _alive(), script_left_out():
        return [_workers().submit(read, places[first : first + chunk], first, *settings) for first in range(0, len(paths), chunk)]


def gathered(parts: Sequence[Future[np.ndarray]]) -> np.ndarray:
    """What the workers read, once they have; the first error of theirs is raised. A worker that was killed is a UserError."""
    with _alive():
        return np.concatenate([part.result() for part in parts])


@contextmanager
def _alive() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise UserError(
            "a worker process that reads images was killed, as happens when memory is short; free some, or take a "
            "smaller batch size, and give the same command again"
        ) from None


def read_resized(paths: Sequence[ImageSource], first: int, size: int, draw: Draw | None, channels: int = 3) -> np.ndarray:
    """uint8 (N, size, size, channels) as `UnreadImages` says."""
    if draw is None:
        return read_middle(paths, first, size, channels, EVAL_ZOOM)
    crop, images = torchvision().transforms.RandomResizedCrop(size), []
    for place, path in enumerate(paths, start=first):
        torch.default_generator.manual_seed(int(np.random.SeedSequence((*draw, place)).generate_state(1, np.uint64)[0] >> 1))
        images.append(np.asarray(crop(read_image(path, MODES[channels]))))
    return np.stack(images).reshape(len(images), size, size, channels)


def read_middle(paths: Sequence[ImageSource], first: int, size: int, channels: int, zoom: float = 1.0) -> np.ndarray:
    """uint8 (N, size, size, channels): the middle, once the shorter side is `zoom` times `size`; what has the size stays."""
    images = [read_image(path, MODES[channels]) for path in paths]
    done = [image if image.size == (size, size) and zoom == 1 else middle(image, size, size, zoom) for image in images]
    return np.stack([np.asarray(image) for image in done]).reshape(len(done), size, size, channels)


def read_plain(paths: Sequence[Path], first: int, size: int) -> np.ndarray:
    """uint8 (N, size, size, 3) of images that have this size; another size is a UserError."""
    images = [np.asarray(read_image(path)) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape[:2] != (size, size):
            raise UserError(
                f"images have {size}x{size} pixels, but {shown(path)} has {image.shape[1]}x{image.shape[0]}; restore it"
            )
    return np.stack(images)


@cache
def _workers() -> ProcessPoolExecutor:
    """This process's worker processes, up to one a core, started when first needed.

    They are forked from a server that imported what they need: a fork of this process itself would hold its locks on
    locked runs, and might hang on its threads and its GPU.
    """
    resource_tracker.ensure_running()  # which would unblock them
    forkserver.set_forkserver_preload([__name__])
    with signals_left_to_parent(), this_module_path(), script_left_out():
        forkserver.ensure_running()
    return ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("forkserver"), start_worker)
