"""How a run ended, as the column `status` says it: `ok`, or how it failed and why."""

from __future__ import annotations

from collections.abc import Iterable

OK, DIVERGED, OUT_OF_MEMORY, KILLED = "ok", "diverged", "out of memory", "killed"  # the whole status, or how it begins


def is_status(cell: str) -> bool:
    """Whether the cell is a status."""
    return cell == OK or cell.startswith((DIVERGED, OUT_OF_MEMORY, KILLED))


def count_of(status: str, statuses: Iterable[str]) -> int:
    """How many of the statuses begin so."""
    return sum(one.startswith(status) for one in statuses)
