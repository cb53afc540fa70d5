"""Images that are too many for memory: read from their files by worker processes, a few batches ahead."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import numpy as np
import torch

from nas.cores import usable_cores
from nas.data.digest import digest
from nas.data.images.augmentation import EVAL_ZOOM
from nas.data.images.image_files import shown
from nas.data.images.image_reader import middle, read_image
from nas.data.images.samples import Batch, Draw
from nas.data.images.torchvision_import import torchvision
from nas.data.worker_process import signals_left_to_parent, start_worker
from spaces.notation.errors import UserError

CPU = torch.device("cpu")
CHUNK = 16  # the most images that a worker reads at a time; of a batch less where that gives work to more of them


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Samples in files: `files` below `folder`, `labels` int64 (N,), read as RGB of `size` x `size` pixels.

    For training a `RandomResizedCrop` of torchvision's, seeded by the batch's draw and the place in it, so that it is the
    same whatever process reads it; for evaluation the shorter side becomes 256/224 of `size` and the middle is cut out.
    A file that cannot be read is a UserError that names it.
    """

    folder: Path
    files: Sequence[str]
    labels: torch.Tensor
    size: int
    device: torch.device = CPU
    ahead = 2
    features = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.size, self.size, 3

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

    def at(self, index: torch.Tensor) -> FolderSplit:
        """The part at these places, in this order."""
        return replace(self, files=[self.files[i] for i in index.tolist()], labels=self.labels[index])

    def to(self, device: torch.device) -> FolderSplit:
        return replace(self, device=device)

    def request(self, index: torch.Tensor, draw: Draw | None) -> Callable[[], Batch]:
        paths, labels = [self.folder / self.files[i] for i in index.tolist()], self.labels[index]
        parts = in_parallel(read_resized, paths, self.size, draw)
        return lambda: (_sent(torch.from_numpy(gathered(parts)), self.device), _sent(labels, self.device))


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy on the device; to a GPU out of page-locked memory, so that nothing waits for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def in_parallel(read: Callable[..., np.ndarray], paths: Sequence[Path], *settings: object) -> list[Future[np.ndarray]]:
    """Have the workers call `read(paths, first, *settings)` on runs of paths; `first` is the place of the run's first."""
    places = [path.absolute() for path in paths]  # workers stay in the folder in which they started
    chunk = min(CHUNK, max(1, -(-len(paths) // usable_cores())))
    with _alive():
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


def read_resized(paths: Sequence[Path], first: int, size: int, draw: Draw | None) -> np.ndarray:
    """uint8 (N, size, size, 3) as `FolderSplit` says."""
    if draw is None:
        return np.stack([np.asarray(middle(read_image(path), size, size, EVAL_ZOOM)) for path in paths])
    crop, images = torchvision().transforms.RandomResizedCrop(size), []
    for place, path in enumerate(paths, start=first):
        torch.default_generator.manual_seed(int(np.random.SeedSequence((*draw, place)).generate_state(1, np.uint64)[0] >> 1))
        images.append(np.asarray(crop(read_image(path))))
    return np.stack(images)


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
    with signals_left_to_parent(), this_module_path():
        forkserver.ensure_running()
    return ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("forkserver"), start_worker)


@contextmanager
def this_module_path() -> Iterator[None]:
    """A Python that is started inside finds modules where this one does, and not first in the current folder, as `python -c`
    would: received files may lie there."""
    before = dict(os.environ)
    os.environ.update(PYTHONSAFEPATH="1", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
