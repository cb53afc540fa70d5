"""What processes of one host tell, a small file each."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from nas.records.beats import Beat, Beats

LONGEST = 2**20  # bytes of a file that are read
TRIES = 5  # at a file that its writer replaces meanwhile


class BeatFiles(Beats):
    """Files in one folder, each locked by its writer as long as that lives: the kernel frees the lock of a killed process.

    A file is written beside the old one, locked, and put in its place, so that readers see the old one or the new one, and
    either is locked. Nothing waits for the disk: a file outlives its process, and need not outlive its host.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, int] = {}  # that are locked here

    def write(self, name: str, text: str) -> None:
        """Tell this."""
        path, part = self._path(name), self._path(name, "part")
        self._folder.mkdir(parents=True, exist_ok=True)
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(file, text.encode())
            os.replace(part, path)
        except BaseException:
            os.close(file)
            raise
        self._forget(name)
        self._files[name] = file

    def remove(self, name: str) -> None:
        """Also the folder, where nothing else is in it."""
        for path in (self._path(name), self._path(name, "part")):
            path.unlink(missing_ok=True)
        self._forget(name)
        with suppress(OSError):
            self._folder.rmdir()

    def read(self) -> list[Beat]:
        """What is told now, by name."""
        try:
            names = sorted(entry[: -len(".json")] for entry in os.listdir(self._folder) if entry.endswith(".json"))
        except OSError:  # no folder, or none that may be read
            return []
        return [beat for name in names if (beat := self._beat(name))]

    def _beat(self, name: str) -> Beat | None:
        for _ in range(TRIES):
            try:
                file = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:  # gone, or no ordinary file
                return None
            try:
                is_alive, status = _is_locked(file), os.fstat(file)
                text = os.pread(file, LONGEST, 0).decode("utf-8", "replace")
                if is_alive or _is_at(status, self._path(name)):
                    return Beat(name, text, max(0.0, time.time() - status.st_mtime), is_alive)
            finally:
                os.close(file)
        return None

    def _path(self, name: str, suffix: str = "json") -> Path:
        return self._folder / f"{name}.{suffix}"

    def _forget(self, name: str) -> None:
        if (file := self._files.pop(name, None)) is not None:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough if a child process inherited the descriptor
            os.close(file)


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def _is_at(status: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(status, os.stat(path, follow_symlinks=False))
    except OSError:
        return False
