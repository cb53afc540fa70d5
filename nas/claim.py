"""A claim on a run: of the processes that share a folder, one trains it, and a dead one's claim is free at once."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType


class Claim:
    """`with Claim(folder):` waits until no other process holds the folder; `Claim(folder).try_take()` does not wait.

    The lock file lies beside the folder, so that a finished run's folder can be removed under its claim. The kernel
    frees the lock of a killed process.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder.with_suffix(".lock")
        self._file: int | None = None

    def try_take(self) -> bool:
        """Whether the claim is ours now."""
        return self._take(fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Give the claim up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self, how: int) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, how)
        except BlockingIOError:
            self.release()
            return False
        return True

    def __enter__(self) -> Claim:
        self._take(fcntl.LOCK_EX)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
