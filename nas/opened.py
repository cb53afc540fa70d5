"""Files of text that may be gzipped: their first bytes say so, whatever they are called."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spaces.errors import UserError

_NO_TEXT = {b"PK\3\4": "a zip archive, or an Excel workbook", b"\xd0\xcf\x11\xe0": "an Excel workbook", b"PAR1": "a Parquet file",
            b"7z\xbc\xaf": "a 7z archive", **{b"BZh%d1AY&SY" % size: "a bzip2 archive" for size in range(1, 10)},
            b"\xfd7zXZ": "an xz archive", b"\x28\xb5\x2f\xfd": "a Zstandard archive"}

_GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """The bytes of the file, unpacked where it is gzipped; another archive or a workbook is a UserError."""
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise UserError(f"{path} is no ordinary file; give one")
    with path.open("rb") as file:
        begin = file.peek(10)
        _check_text(path, begin)
        if begin.startswith(_GZIP):
            with gzip.open(file) as unpacked:
                begin = unpacked.peek(10)
                _check_text(path, begin)
                if begin.startswith(_GZIP):
                    raise UserError(f"{path} is gzipped twice; unpack it once, and give that file")
                yield unpacked
        else:
            yield file


def _check_text(path: Path, begin: bytes) -> None:
    for mark, kind in _NO_TEXT.items():
        if begin.startswith(mark):
            raise UserError(f"{path} is {kind}; unpack it, or save it as plain text, and give that file")
