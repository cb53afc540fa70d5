"""Rows that may stand side by side in one table: read from results files, narrowed and checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from methods.table import METHODS, traits
from nas.records.attempts import standing_rows
from nas.records.cell_types import DIGEST
from nas.records.column import Compared, Role
from nas.records.columns import COLUMNS, names
from nas.records.results import log_at
from nas.records.row_kinds import COMPARED
from nas.records.status import OK
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError, unknown

if TYPE_CHECKING:
    import pandas as pd

ADAPTED = names(lambda column: column.compared is Compared.ADAPTED)  # how a network grows and what else it reads
LINE = names(lambda column: column.compared in (Compared.LINE, Compared.ADAPTED))  # a line's rows differ in their seeds
SHARED = names(lambda column: column.compared is Compared.SHARED)
ONE_A_LINE = names(lambda column: column.compared is Compared.ONE_A_LINE)
TIMED_BY = names(lambda column: column.compared is Compared.TIMED_BY)
DATA = names(lambda column: column.compared is Compared.SHARED and column.type is DIGEST)  # empty in rows of older versions
ASKED = names(lambda column: column.role is Role.MEASUREMENT)  # of a run beside its training; each made a row of its own
FIGURES = names(lambda column: column.tabled)
PASTED = 60  # characters of a cell that a message may hold to be pasted: whole, or its quotes would not close


def read_rows(paths: Iterable[str | Path], conditions: Sequence[str] = ()) -> pd.DataFrame:
    """The rows of results files, each once, where every `column=value` holds; cells are text, those of `FIGURES` numbers.

    Several values of one column are alternatives. A component such as `dgl(label_smoothing=0.1)` answers to its name too.
    A file without rows or without the columns of an evaluate.csv, an unknown column and conditions that no row meets
    are UserErrors.
    """
    import pandas as pd

    frames = []
    for path in paths:
        log = log_at(path, COMPARED)
        rows = standing_rows(log.rows())
        if not rows:
            raise UserError(f"compare reads the rows that `run.py evaluate` wrote, but {log.where} has none or is not there")
        ended_well = [(number, row) for number, row in enumerate(rows) if row["status"] == OK]
        missing = [column for column in FIGURES if column not in rows[0]]  # runs that diverged have not all of them
        if missing and ended_well:
            raise UserError(f"compare reads files of `run.py evaluate`, but {log.where} has no column {', '.join(missing)}")
        if untested := [number for number, row in ended_well if not row["test_error"]]:
            raise UserError(
                f"compare is about the test split, which {len(untested)} rows never saw, the first is {log.row_at(untested[0])}: "
                "its test_error is empty, its status ok; give the evaluate.csv, or mend that row"
            )
        frames.append(pd.DataFrame(rows))
    frame = pd.concat(frames).fillna("").drop_duplicates()
    columns = [*frame, *LINE, *SHARED, *ONE_A_LINE, *TIMED_BY, *FIGURES]
    frame = frame.reindex(columns=list(dict.fromkeys(columns)), fill_value="")
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise UserError(f"--where is written column=value, got {condition!r}")
        if column not in frame:
            raise unknown("column", column, map(str, frame))
        wanted.setdefault(column, []).append(value)
    for column, values in wanted.items():
        kept = frame[column].isin(values) | frame[column].str.partition("(")[0].isin(values)
        if not kept.any():
            raise UserError(f"no row is left where {column}={' or '.join(values)}; there, {column} is {listed(frame[column])}")
        frame = frame[kept]
    return frame.assign(**{column: pd.to_numeric(frame[column]) for column in FIGURES}).reset_index(drop=True)


def check_comparable(rows: pd.DataFrame) -> None:
    """Refuse, with a UserError that names columns and values, rows that no common table can hold.

    All rows share the columns `SHARED` and what K means; the rows of a line share the recipe, and each has a seed of its own.
    """
    if differing := [column for column in SHARED if disagree(rows[column])]:
        raise UserError(
            f"rows of one table agree in {', '.join(differing)}, but "
            + "; ".join(f"{column} is {listed(rows[column])}" for column in differing)
            + narrowed(rows, differing[0])
        )
    for method, point, num_blocks in rows[["method", "decoupling", "num_blocks"]].drop_duplicates().itertuples(index=False):
        if Decoupling.parse(point).num_blocks != num_blocks and not (num_blocks == 1 and _may_be_joint(method)):
            raise UserError(
                f"K counts the blocks that no gradient joins, one more than the cuts, but num_blocks is {num_blocks} "
                f"where {method} has '{point}'; leave these rows out with --where num_blocks=K"
            )
    for _, line in _suspects(rows).groupby(list(LINE), sort=False):
        method, point = line["method"].iloc[0], line["decoupling"].iloc[0]
        if differing := [column for column in ONE_A_LINE if disagree(line[column])]:
            raise UserError(
                f"the seeds of {method} on '{point}' are averaged, but {differing[0]} is "
                f"{listed(line[differing[0]])}" + narrowed(line, differing[0])
            )
        twice = line[line["seed"].duplicated(keep=False)]
        if len(twice):
            twice = twice[twice["seed"] == twice["seed"].iloc[0]]
            column = next(
                name for name in (*DATA, *TIMED_BY, *ASKED, *twice) if name in twice and twice[name].nunique(dropna=False) > 1
            )
            raise UserError(
                f"a seed counts once, got seed {twice['seed'].iloc[0]} of {method} on '{point}' "
                f"{len(twice)} times; {column} is {listed(twice[column])}" + narrowed(twice, column)
            )


def _suspects(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of lines that may have to be refused, found for all lines at once, since a table may have thousands."""
    lines = rows.groupby(list(LINE), sort=False).ngroup()
    suspects = set(lines[rows.assign(line=lines).duplicated(["line", "seed"])])
    for column in ONE_A_LINE:
        filled = _filled(rows[column])
        counts = filled.groupby(lines[filled.index]).nunique()
        suspects.update(counts[counts > 1].index)
    return rows[lines.isin(suspects)]


def _may_be_joint(method: str) -> bool:
    """Whether all blocks may learn as one. Of a method of one's own nothing is known here: a row imports nothing."""
    return not METHODS.registers(method) or traits(method).end_to_end


def disagree(cells: pd.Series) -> bool:
    """Whether the column has several values. Where it is optional an empty cell agrees with any: a run that diverged has no
    `epochs` and no test split, and an older row no digests of its data."""
    return _filled(cells).nunique() > 1


def _filled(cells: pd.Series) -> pd.Series:
    """The cells that count as values."""
    column = COLUMNS.get(str(cells.name))
    return cells[cells != ""] if column and column.optional else cells


def listed(cells: pd.Series) -> str:
    """The values of a column, most frequent first, as text."""
    values = [str(value) or "empty" for value in cells.value_counts().index]
    return ", ".join(values[:4]) + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def narrowed(rows: pd.DataFrame, column: str) -> str:
    """How to ask for one value of the column."""
    condition = f"{column}={rows[column].value_counts().index[0]}"
    shown = condition if len(condition) <= PASTED and condition.isprintable() else f"{column}=..."
    quoted = shown.replace("'", "'\"'\"'")  # for a shell, whatever the cell holds
    return f"; narrow with --where '{quoted}'"
