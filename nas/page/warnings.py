"""What to know before one relies on rows: few seeds, mixed commits, uncommitted changes, trial scale, runs that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nas.charts.results import Given
from nas.page.asked import Row
from nas.records.status import DIVERGED, KILLED, OK, OUT_OF_MEMORY

ENOUGH = 3  # seeds, from which on an interval says something


def warnings_of(given: Given) -> list[str]:
    """A sentence each, the weightiest first."""
    rows = [*given.evaluate, *given.search]
    return [*given.warnings, *_failed(rows), *_scaled(rows), *_few_seeds(given), *_dirty(rows), *_mixed(rows)]


def _failed(rows: Sequence[Row]) -> list[str]:
    statuses = [row["status"] for row in rows if row.get("status") and row["status"] != OK]
    if not statuses:
        return []
    kinds = Counter(
        next((kind for kind in (DIVERGED, OUT_OF_MEMORY, KILLED) if status.startswith(kind)), status) for status in statuses
    )
    reason = Counter(statuses).most_common(1)[0][0]
    return [
        f"{_count(len(statuses), 'row')} of runs that failed, which count as 100 % wrong in means: "
        + ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        + f"; the most frequent reason is “{reason}”."
    ]


def _scaled(rows: Sequence[Row]) -> list[str]:
    scales = sorted({row["scale"] for row in rows if row.get("scale")})
    number = sum(bool(row.get("scale")) for row in rows)
    return (
        [f"{_count(number, 'row')} of a trial at scale {', '.join(scales)}: shortened to try commands, not to compare."]
        if scales
        else []
    )


def _few_seeds(given: Given) -> list[str]:
    counts = [line.n for table in given.tables for line in table.fair.lines]
    few = sum(count < ENOUGH for count in counts)
    if not few:
        return []
    single = sum(count == 1 for count in counts)
    which = "all lines" if few == len(counts) else f"{few:,} of {len(counts):,} lines"
    alone = f", {single:,} of them a single one, which has no interval" if single else ""
    return [f"Few seeds: {which} of the fair table have fewer than {ENOUGH}{alone}. Differences between them may be chance."]


def _dirty(rows: Sequence[Row]) -> list[str]:
    number = sum(row.get("dirty") == "True" for row in rows)
    return (
        [f"{_count(number, 'row')} written by code that differed from its commit, so that the commit does not tell what ran."]
        if number
        else []
    )


def _mixed(rows: Sequence[Row]) -> list[str]:
    warnings = []
    for column, what in (("commit", "commits"), ("torch", "versions of PyTorch"), ("device", "devices")):
        values = Counter(row[column] for row in rows if row.get(column))
        if len(values) > 1:
            listed = ", ".join(f"{value} ({count:,})" for value, count in values.most_common(4))
            warnings.append(f"Mixed {what}: {listed}{f' and {len(values) - 4} more' if len(values) > 4 else ''}.")
    return warnings


def _count(number: int, what: str) -> str:
    return f"{number:,} {what} is" if number == 1 else f"{number:,} {what}s are"
