"""Runs that are tried again: one that was killed or ran out of memory has a row for each attempt that failed so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nas.records.partial import whole_rows
from nas.records.status import KILLED, OUT_OF_MEMORY


def is_repeatable(row: Mapping[str, str]) -> bool:
    """Whether the attempt failed in a way that another might not. One that diverged would do so again."""
    return row.get("status", "").startswith((KILLED, OUT_OF_MEMORY))


def attempt_of(row: Mapping[str, str]) -> int:
    """The number of the attempt, from 1 on, which the rows of older versions do not say."""
    return int(row.get("attempts") or 1)


def attempts_made(rows: Iterable[Mapping[str, str]]) -> int:
    """How many attempts at a run failed, of its rows."""
    return max((attempt_of(row) for row in rows if is_repeatable(row)), default=0)


def standing(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Of the rows of one run those that stand: no attempt that another one followed."""
    others = [row for row in rows if not is_repeatable(row)]
    return others or sorted(rows, key=attempt_of)[-1:]


def standing_rows(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The same for rows of several runs, which their names tell apart, in their order; none that were trained only in part."""
    rows = whole_rows(rows)
    if not any(map(is_repeatable, rows)):
        return rows
    of_runs: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        of_runs.setdefault(row.get("run", ""), []).append(row)
    left_out = {id(row) for name, of_run in of_runs.items() if name for row in of_run} - {
        id(row) for of_run in of_runs.values() for row in standing(of_run)
    }
    return [row for row in rows if id(row) not in left_out]
