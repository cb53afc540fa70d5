"""`compare`: methods against the number of blocks, from the rows of evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.commands.option import keywords_of, option, required
from nas.commands.python_call import python_call
from nas.commands.shared_options import WhereOptions
from nas.records.frames import one_a_number, typed
from nas.records.results import log_at
from nas.records.row_kinds import HISTORY
from nas.report.comparable import read_rows
from nas.report.fair_table import FairTable, fair_table
from spaces.notation.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

EACH = ("stage_losses", "exit_errors")  # columns of history.csv whose cells are lists


@dataclass(frozen=True, kw_only=True)
class CompareOptions(WhereOptions):
    """What `compare` takes."""

    csv: tuple[str, ...] = required("files that evaluate wrote, or URLs of results stores", metavar="CSV", positional=True)
    figures: tuple[str, ...] = option(
        (), "columns of figures that the table is to have beside the usual ones, such as parameters_trained", metavar="COLUMN"
    )
    published: bool = option(
        False, "also show what papers print for this backbone and task, method and K, and what differs, theirs in brackets"
    )


def compared(options: CompareOptions) -> FairTable:
    """The table of the rows that are asked for."""
    return fair_table(read_rows(options.csv, options.where), options.figures, published=options.published)


@keywords_of(CompareOptions, "csv")
def compare(*given: Any, **options: Any) -> FairTable:
    """The fair table of files that evaluate wrote, as `run.py compare` shows it: a dataclass, whose `lines` are one method on one
    decoupling each (`pandas.DataFrame(table.lines)` makes a frame). Rows that do not compare are a UserError, which says why.

        table = nas.compare("results/evaluate.csv", where=["seed=0", "seed=1"], published=True)
    """
    with python_call(CompareOptions, "compare", ("csv",), given, options) as (read, _):
        return compared(read)


def read_results(path: str | Path) -> pd.DataFrame:
    """The rows of a results file, or of one in a store (postgresql://host/database/exits.csv), as they were written, in typed
    columns: numbers are numbers, an empty cell is NA.

    A file that is no such CSV, or that is not there, is a UserError or gives no rows, as for the commands.
    """
    return typed(log_at(path).rows())


def read_history(path: str | Path = "results/history.csv", *, each: str | None = None) -> pd.DataFrame:
    """The rows of a history.csv, one an epoch, in typed columns as `read_results` gives them.

    With `each`, "stage_losses" or "exit_errors", a row for each number of each epoch: `number` is the stage or the exit, from 1
    on, and the column holds its number, as plots take them. Another name is a UserError.

        errors = nas.read_history(each="exit_errors")
        errors[errors["run"] == run].pivot(index="epoch", columns="number", values="exit_errors").plot()
    """
    if each is not None and each not in EACH:
        raise unknown("column of lists:", each, EACH)
    frame = typed(log_at(path, HISTORY).rows())
    return frame if each is None or frame.empty else one_a_number(frame, each)
