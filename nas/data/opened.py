"""Files of text that may be gzipped: their first bytes say so, whatever they are called."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spaces.notation.errors import UserError

_NO_TEXT = {
    b"PK\3\4": "a zip archive, or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
    b"7z\xbc\xaf": "a 7z archive",
    **{b"BZh%d1AY&SY" % size: "a bzip2 archive" for size in range(1, 10)},
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
}

_GZIP = b"\x1f\x8b"
_CHUNK = 2**16
_LARGE, _RATIO = 2**30, 200  # bytes that text hardly ever unpacks to from less than a 200th


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The bytes of the file, unpacked where it is gzipped; another archive, a workbook and what unpacks to more than text does is
    a UserError."""
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise UserError(f"{path} is no ordinary file; give one")
    with path.open("rb") as file:
        begin = file.peek(10)
        _check_text(path, begin)
        if begin.startswith(_GZIP):
            with gzip.open(file) as whole, io.BufferedReader(_Bounded(whole, path), _CHUNK) as unpacked:
                begin = unpacked.peek(10)
                _check_text(path, begin)
                if begin.startswith(_GZIP):
                    raise UserError(f"{path} is gzipped twice; unpack it once, and give that file")
                yield unpacked
        else:
            yield file


class _Bounded(io.RawIOBase):
    """What a gzipped file unpacks to, up to where it can be no text."""

    def __init__(self, unpacked: gzip.GzipFile, path: Path) -> None:
        self._unpacked, self._path, self._left = unpacked, path, max(_LARGE, _RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._unpacked.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise UserError(f"{self._path} unpacks to more than {_RATIO} times its size, which no text does; write it again")
        return count


def _check_text(path: Path, begin: bytes) -> None:
    for mark, kind in _NO_TEXT.items():
        if begin.startswith(mark):
            raise UserError(f"{path} is {kind}; unpack it, or save it as plain text, and give that file")
