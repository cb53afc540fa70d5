"""Running out of memory, of a GPU or of the machine: what it is told by."""

from __future__ import annotations

import errno
import re

WAY_OUT = "try a smaller batch size, more blocks or checkpoint units"
_SAID = re.compile(
    r"out of memory|(can't|cannot|could not|unable to|failed to) allocate|not enough memory|bad_alloc|"
    r"_ALLOC_FAILED",
    re.IGNORECASE,
)
_ASKED = re.compile(r"(?:tried|unable) to allocate ([\d.]+) ?(bytes|KiB|MiB|GiB|TiB|PiB|EiB)", re.IGNORECASE)
_UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "pib": 2**50, "eib": 2**60}


class StageOutOfMemory(MemoryError):
    """Of a stage in another process: the text is the reason, with the stage."""


def out_of_memory(error: BaseException) -> str | None:
    """What was asked for, and what to try, where the error says that memory ran out; None for any other.

    PyTorch raises a RuntimeError, on a GPU one of its own type; the text tells on both.
    """
    if isinstance(error, StageOutOfMemory):
        return str(error)
    if isinstance(error, OSError):
        if error.errno != errno.ENOMEM:
            return None
    elif not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and _SAID.search(str(error))):
        return None
    asked = _ASKED.search(str(error))
    if asked is None:
        return f"no more could be had; {WAY_OUT}"
    return f"{float(asked[1]) * _UNITS[asked[2].lower()] / 2**30:.2f} GiB more could not be had; {WAY_OUT}"
