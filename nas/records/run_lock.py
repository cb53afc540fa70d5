"""The lock on a run: of the processes that share a folder, one has it, and a dead one's lock is free at once."""

from __future__ import annotations

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from nas.notice import notice
from nas.records.claim import Claim
from nas.records.results_log import open_lock, told_of_path
from spaces.notation.errors import UserError

LONGEST = 200  # characters of what a lock file says of its holder


class RunLock(Claim):
    """A claim by the kernel's lock on a file, among the processes of one host.

    The lock file lies beside the folder, so that a finished run's folder can be removed under its lock. It goes when the
    lock is given up. The kernel frees the lock of a killed process, whose file the next one takes over. A folder that cannot
    be written is a UserError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder.with_suffix(".lock")
        self._file: int | None = None

    def try_take(self) -> bool:
        return self._take(waits=False)

    def take(self) -> None:
        self._take(waits=True)

    def release(self) -> None:
        if self._file is not None:
            if _is_at(self._file, self._path):
                self._path.unlink()  # still held, so nobody else may have it
            fcntl.flock(self._file, fcntl.LOCK_UN)  # closing is not enough if a child process inherited the descriptor
            os.close(self._file)
            self._file = None

    def is_left(self) -> bool:
        return self._path.exists()

    def holder(self) -> str | None:
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # no lock, or none that may be read, or no ordinary file
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            return None
        except BlockingIOError:
            return _holder(file)
        finally:
            os.close(file)

    def _take(self, *, waits: bool) -> bool:
        while (file := self._locked(waits=waits)) is not None:
            if _is_at(file, self._path):
                os.truncate(file, 0)
                os.pwrite(
                    file,
                    f"process {os.getpid()} on {socket.gethostname()} since "
                    f"{datetime.now(UTC).isoformat(sep=' ', timespec='seconds')}\n".encode(),
                    0,
                )
                self._file = file
                return True
            os.close(file)  # its holder has removed it meanwhile, so that the next one makes another
        return False

    def _locked(self, *, waits: bool) -> int | None:
        """The lock file, locked; None if another process has it and nobody `waits`."""
        with told_of_path(f"unfinished runs lie in {self._path.parent}", "change the permissions or name another --runs"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._folder.is_symlink():
                raise UserError(
                    f"a run is written, and removed, in its own folder, but {self._folder} is a link; remove it, "
                    "or name another --runs"
                )
            file = open_lock(self._path)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waits:
                    os.close(file)
                    return None
                notice(f"waiting for {_holder(file)}, which has the run {self._folder}")
                fcntl.flock(file, fcntl.LOCK_EX)
        except BaseException:
            os.close(file)
            raise
        return file


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(file: int) -> str:
    """What the holder wrote of itself."""
    text = os.pread(file, LONGEST, 0).decode("utf-8", "replace").strip()
    return "".join(character for character in text if character.isprintable()) or "another process"
