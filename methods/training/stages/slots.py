"""Tensors that two processes of one host hand over in shared memory: written once by one, read in place by the other."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

HEADER = 64  # bytes before the tensors; the first says whether the slot is in use
ALIGNED = 64  # bytes, as torch aligns what it allocates: kernels choose by it how they add up
WAIT = 2e-4  # seconds between two looks at a slot that is in use
FOLDER = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())


class Place(NamedTuple):
    """Where tensors lie: the file of a slot, its size in bytes, and the bytes at which each begins."""

    path: str
    size: int
    offsets: tuple[int, ...]


class SlotWriter:
    """`depth` slots that are written in turns; a slot is free again when the reader has released it."""

    def __init__(self, depth: int) -> None:
        self._slots: list[_Slot | None] = [None] * depth
        self._next = 0

    def write(self, memories: Sequence[torch.Tensor], waiting: Callable[[], None]) -> Place:
        """Copy tensors (n,) into the next slot, once it is free; `waiting` is called again and again until then."""
        offsets, size = [], HEADER
        for memory in memories:
            offsets.append(size)
            size += -(-memory.nbytes // ALIGNED) * ALIGNED
        slot = self._slots[self._next]
        if slot is not None:
            _wait_until_free(slot, waiting)
            slot.forget_name()
        if slot is None or slot.size < size:
            slot = self._slots[self._next] = _Slot.made(size)
        self._next = (self._next + 1) % len(self._slots)
        for memory, offset in zip(memories, offsets, strict=True):
            if memory.nbytes:
                slot.view(offset, memory.dtype, memory.numel()).copy_(memory)
        slot.in_use = True
        return Place(str(slot.path), slot.size, tuple(offsets))

    def wait_until_free(self, waiting: Callable[[], None]) -> None:
        """Until the reader has released all slots."""
        for slot in self._slots:
            if slot is not None:
                _wait_until_free(slot, waiting)

    def close(self) -> None:
        """Remove the files that no reader has opened."""
        for slot in self._slots:
            if slot is not None:
                slot.forget_name()


class SlotReader:
    """The slots of a writer, as they are read."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}

    def slot(self, place: Place) -> _Slot:
        """The slot of a place, opened when it is first named."""
        if place.path not in self._slots:
            self._slots[place.path] = _Slot.opened(Path(place.path), place.size)
        return self._slots[place.path]


class _Slot:
    def __init__(self, path: Path, file: int, size: int) -> None:
        self.path, self.size = path, size
        self._named = True
        self._memory = mmap.mmap(file, size)
        os.close(file)

    @classmethod
    def made(cls, size: int) -> _Slot:
        file, path = tempfile.mkstemp(prefix="decoupled-nas-", dir=FOLDER)
        os.posix_fallocate(file, 0, size)  # a full /dev/shm is told here, and not by a signal when it is written
        return cls(Path(path), file, size)

    @classmethod
    def opened(cls, path: Path, size: int) -> _Slot:
        return cls(path, os.open(path, os.O_RDWR), size)

    @property
    def in_use(self) -> bool:
        """From when it was written until its reader is done with it."""
        return self._memory[0] != 0

    @in_use.setter
    def in_use(self, value: bool) -> None:
        self._memory[0] = int(value)

    def view(self, offset: int, dtype: torch.dtype, count: int) -> torch.Tensor:
        return torch.frombuffer(self._memory, dtype=dtype, count=count, offset=offset)

    def forget_name(self) -> None:
        """Both have it open; without a name it goes with the last of them, however they end."""
        if self._named:
            self.path.unlink(missing_ok=True)
            self._named = False


def _wait_until_free(slot: _Slot, waiting: Callable[[], None]) -> None:
    while slot.in_use:
        waiting()
        time.sleep(WAIT)
