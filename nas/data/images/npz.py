"""Arrays out of an .npz file from outside: nothing is unpickled, and nothing is allocated that the file does not hold."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from nas.data.available_memory import available_memory
from nas.data.images.image_files import listed, shown
from spaces.notation.errors import UserError

# What the readers of numpy and zip raise on damaged and foreign files.
_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    RuntimeError,
    MemoryError,
    OverflowError,
    SyntaxError,
    AssertionError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
_MAX_HEADER = 10_000  # numpy's own limit
_LARGE, _RATIO = 2**30, 200  # bytes that data of images hardly ever unpack to from less than a 200th


def read_npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of these names. A file that is missing, damaged, of another kind, or larger than memory is a UserError."""
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter("ignore")  # headers of Python 2
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            fault = _fault(archive, members, names)
            if fault is None:
                return [_array(archive, members[name]) for name in names]
    except _ERRORS as error:
        fault = _kind(path) or f"it is damaged ({' '.join(repr(error).split())[:200]}); write it again with numpy.savez"
    raise UserError(f"{shown(path)} is read as an .npz file with the arrays {' and '.join(names)}, but {fault}")


def _kind(path: Path) -> str | None:
    """What the file is instead, told by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError:
        return None
    if head.startswith(npy.MAGIC_PREFIX):
        return "it is one array of numpy.save under another name; write both with numpy.savez"
    return "it is empty; write it again with numpy.savez" if not head else None


def _fault(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], names: Sequence[str]) -> str | None:
    """Why the arrays are not read, told from their headers."""
    if absent := [name for name in names if name not in members]:
        there = f"only {listed(members)}" if members else "nothing"
        return f"it holds {there}, and the array {' and the array '.join(absent)} is missing; save all with numpy.savez"
    needed = 0
    for name in names:
        info = members[name]
        shape, dtype, start = _header(archive, info)
        if dtype.hasobject:
            return (
                f"{name} holds Python objects, which are never unpickled; save numpy.stack([...]) of uint8 images of one "
                "size, or whole numbers for labels"
            )
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=1) < 0 or dtype.names or not dtype.itemsize or info.file_size != start + size:
            return (
                f"the header of {name} promises {str(dtype)[:40]} {str(shape)[:60]} and the file holds "
                f"{info.file_size - start:,} bytes of it; write it again with numpy.savez"
            )
        if size > _LARGE and size > _RATIO * info.compress_size:
            return (
                f"{name} unpacks from {info.compress_size:,} bytes to {size:,}, as no images do; if they are right, write "
                "them with numpy.savez, which does not compress"
            )
        needed += size
    available = available_memory()
    if available is not None and needed > available:
        return f"its arrays take {needed:,} bytes of memory and {available:,} are free; take fewer or smaller images"
    return None


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type, and where the data begins."""
    with archive.open(info) as file:
        head = io.BytesIO(file.read(_MAX_HEADER + npy.MAGIC_LEN + 4))
    read = npy.read_array_header_1_0 if npy.read_magic(head) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(head)
    return shape, dtype, head.tell()


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        return npy.read_array(file, allow_pickle=False)
