"""The kinds of rows: which columns a file has, which of them no row leaves empty, and how a row is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from nas.records.column import File
from nas.records.columns import COLUMNS, names
from nas.records.status import OK

SHOWN = 60  # characters of a cell in a message


@dataclass(frozen=True)
class RowKind:
    """The rows of one kind of file: the columns that it has, with a cell in every row, and those that `also` asks of a row."""

    name: str
    needed: tuple[str, ...]
    also: Callable[[Mapping[str, str]], tuple[str, ...]] = lambda row: ()

    def lacks(self, header: list[str]) -> list[str]:
        """The columns that the header has not."""
        return [column for column in self.needed if column not in header]

    def read(self, row: Mapping[str, str]) -> dict[str, str]:
        """The row as it was written; ValueError, with column and rule, where a cell does not hold."""
        for columns, which in ((self.needed, ""), (self.also(row), " with status ok")):
            if empty := [column for column in columns if not row.get(column)]:
                raise ValueError(f"column {empty[0]} is empty, but every {self.name}{which} has it")
        return {column: written(column, cell) for column, cell in row.items()}


@lru_cache(maxsize=2**16)
def written(column: str, cell: str) -> str:
    """The cell as `ResultsLog` writes it, a text of a column that nobody knows; ValueError, with column and rule, where it is
    none of that column."""
    if not cell or column not in COLUMNS:
        return cell
    try:
        return COLUMNS[column].type.read(cell)
    except (ValueError, OverflowError):
        shown = cell if len(cell) <= SHOWN else cell[:SHOWN] + "..."
        raise ValueError(f"column {column} holds {COLUMNS[column].type.rule}, got {shown!r}") from None


def _of_status(row: Mapping[str, str]) -> tuple[str, ...]:
    """What a run that ended well has; an error on the test split only where that was read, which no search does, and names of
    what came out unless an older version wrote it."""
    if row["status"] != OK:
        return ()
    asked = row.get("ensemble")  # of a row of an older version
    tested, voted = row.get("test_digest") or asked, asked and asked != "1"
    return (
        "validation_loss",
        "pipeline_speedup_bound",
        *(("test_error",) if tested else ()),
        *(("ensemble_test_error",) if voted else ()),
        *(("run", "weights_digest") if row.get("data_digest") else ()),
    )


def _always(file: File) -> tuple[str, ...]:
    return names(lambda column: file in column.always)


RUNS = RowKind("run", _always("evaluate"), _of_status)
COMPARED = RowKind("run", tuple(name for name in RUNS.needed if name != "validation_error"))  # which `compare` does not show
ENSEMBLES = RowKind("ensemble", _always("ensembles"))
EXITS = RowKind("exit", _always("exits"))
CURVES = RowKind("point of a curve", _always("curves"))
HISTORY = RowKind("epoch", _always("history"))
TRIALS = RowKind("trial", _always("trials"))
DECISIONS = RowKind("decision", _always("decisions"))
ALPHA_BETA = RowKind("gap at a meta step", _always("alpha_beta"))

FILES: dict[File, str] = {
    "evaluate": "A run of `evaluate`, whose test split was read once.",
    "search": "A run of `search`, or a try of `evaluate`; it never saw the test split.",
    "ensembles": "A run that was asked for an ensemble of the last heads, and how many.",
    "exits": "An exit of a run with `--exits`, at each `depth` from 1 to K; all else that it says is of the run.",
    "curves": "A threshold of a rule of confidence of such a run: errors and mean cost when each sample leaves at the first exit "
    "that is as sure. A rule by which nobody can leave early has no row.",
    "history": "A validation of a run while it trained: after each epoch, and where windows of `grow` begin and end.",
    "trials": "A decoupling that a search asked for, in the order of asking; one that was stopped and goes on writes no trial "
    "twice.",
    "decisions": "A cut of each `num_blocks` that SEDONA could answer with, and how sure it is.",
    "alpha_beta": "A gap after a meta step of SEDONA.",
}
