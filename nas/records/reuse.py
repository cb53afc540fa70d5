"""What people are told of rows that are there already: which are not reused, and which were made by other code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nas.notice import notice
from nas.records.log import Cell, Log
from nas.records.provenance import provenance

DIGESTS = ("data_digest", "extends_digest")  # of a key; rows of older versions have none


def undigested(log: Log, key: Mapping[str, Cell]) -> list[dict[str, str]]:
    """The rows that agree with the key but were written before rows had digests: of the same data or not, nobody knows."""
    return log.find_all({**key, **dict.fromkeys(DIGESTS)})


def told_undigested(count: int) -> tuple[str, ...]:
    """A line where rows are left alone."""
    rows = f"{count} rows of an older version are" if count > 1 else "1 row of an older version is"
    return (f"{rows} not reused: without a digest of the data, it may be other data",) if count else ()


def notice_other_commits(rows: Iterable[Mapping[str, str]]) -> None:
    """Say how many of the rows that an answer rests on come from another commit than the one that runs."""
    commit, rows = provenance()["commit"], list(rows)
    others = sum(row.get("commit", "")[:7] != commit[:7] for row in rows)  # git may take more digits one day
    if commit and others:
        notice(f"{others} of {len(rows)} rows were made at another commit than {commit}, which runs now")
