"""`export-results`: copies rows from one results store to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.commands.option import keywords_of, required
from nas.commands.python_call import python_call
from nas.records.results import Results
from spaces.notation.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ExportResultsOptions:
    """What `export-results` takes."""

    source: Results = required("where rows are read, as of --results", metavar="SOURCE", positional=True)
    target: Results = required("where they are written, as of --results", metavar="TARGET", positional=True)


@dataclass(frozen=True)
class Copied:
    """Of one log: how many rows the source has of it, and how many of them were new to the target. `where` is the target's."""

    name: str
    rows: int
    new: int
    where: str


def copied(options: ExportResultsOptions) -> list[Copied]:
    """Copy what the target has not."""
    source, target = options.source, options.target
    if source == target:
        raise UserError(f"rows are copied to another store, got {source} twice; name two")
    target.check()
    if not (names := source.names()):
        raise UserError(f"rows are copied from a store that has some, got {source}, which has none; name another")
    for name in names:
        target.log(name).check_ready()
    found = []
    for name in names:
        rows, log = source.log(name).rows(), target.log(name)
        found.append(Copied(name, len(rows), log.append_missing(rows), log.where))
    return found


@keywords_of(ExportResultsOptions, "source", "target")
def export_results(*given: Any, **options: Any) -> list[Copied]:
    """Copy rows from one results store to another, as `run.py export-results` does: what it is of each log.

    A folder that a PostgreSQL store is copied to has the CSV files that `evaluate` would have written there, to the byte. What
    is there already is not written again.

        nas.export_results("postgresql://me@host/results", "results")
    """
    with python_call(ExportResultsOptions, "export_results", ("source", "target"), given, options) as (read, _):
        return copied(read)
