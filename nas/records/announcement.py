"""What a results file's lock file says of the last append: what is written where, and what the file was like afterwards."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Self

_WIDTH = 120  # bytes of the first line, which is rewritten in place
_NONE = "-"
_LINE = re.compile(r"(\d{1,18}) ([0-9a-f]{16}|-) (\d+) (\d+) (\d+) *")


@dataclass(frozen=True)
class Stamp:
    """What tells one state of a file from another: its inode, bytes, and nanoseconds of its last change."""

    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, file: int) -> Self:
        status = os.fstat(file)
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Announcement:
    """`text` is appended at byte `start`. `after` is the file's stamp when that was done, None before. `chain` names a series of
    appends each of which found the file as the one before had left it: whoever has read the file up to some append of a
    chain has then to read only what lies behind.

    This need not wait for the disk: it outlives the process, and that is what may be killed in the middle of a write.
    """

    start: int = 0
    text: bytes = b""
    chain: str | None = None
    after: Stamp | None = None

    def write(self, lock: int) -> None:
        """Before the append, with all of the text."""
        os.ftruncate(lock, 0)
        left, place = self._line() + self.text, 0
        while left:
            written = os.pwrite(lock, left, place)
            left, place = left[written:], place + written

    def write_after(self, lock: int) -> None:
        """Once it is done: the text stays as it is."""
        os.pwrite(lock, self._line(), 0)

    @classmethod
    def read(cls, lock: int) -> Self:
        """What stands there; nothing at byte 0 where nothing does."""
        line, line_break, text = os.pread(lock, os.fstat(lock).st_size, 0).partition(b"\n")
        found = _LINE.fullmatch(line.decode("latin-1")) if line_break else None
        if not found:
            return cls()
        start, chain, *stamp = found.groups()
        after = Stamp(*map(int, stamp))
        return cls(int(start), text) if chain == _NONE else cls(int(start), text, chain, after)

    def _line(self) -> bytes:
        after = self.after or Stamp(0, 0, 0)
        line = f"{self.start} {self.chain or _NONE} {after.inode} {after.size} {after.changed}"
        return f"{line:<{_WIDTH}}\n".encode()


def new_chain() -> str:
    """A name that no other series of appends has."""
    return os.urandom(8).hex()
