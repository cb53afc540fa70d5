"""Rows that may stand side by side in one table: read from results files, narrowed and checked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from methods.table import METHODS, traits
from nas.records.attempts import standing_rows
from nas.records.cell_types import COUNT, DIGEST
from nas.records.column import Compared, Role
from nas.records.columns import COLUMNS, names
from nas.records.results import log_at
from nas.records.row_kinds import COMPARED
from nas.records.status import OK
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError, unknown

Row = dict[str, Any]  # cells by column: text, and numbers where the column is one of `FIGURES`, NaN where the cell is empty
ADAPTED = names(lambda column: column.compared is Compared.ADAPTED)  # how a network grows and what else it reads
LINE = names(lambda column: column.compared in (Compared.LINE, Compared.ADAPTED))  # a line's rows differ in their seeds
SHARED = names(lambda column: column.compared is Compared.SHARED)
ONE_A_LINE = names(lambda column: column.compared is Compared.ONE_A_LINE)
TIMED_BY = names(lambda column: column.compared is Compared.TIMED_BY)
DATA = names(lambda column: column.compared is Compared.SHARED and column.type is DIGEST)  # empty in rows of older versions
ASKED = names(lambda column: column.role is Role.MEASUREMENT)  # of a run beside its training; each made a row of its own
FIGURES = names(lambda column: column.tabled)
PASTED = 60  # characters of a cell that a message may hold to be pasted: whole, or its quotes would not close


def read_rows(paths: Iterable[str | Path], conditions: Sequence[str] = ()) -> list[Row]:
    """The rows of results files, each once, where every `column=value` holds; cells are text, those of `FIGURES` numbers.

    Several values of one column are alternatives. A component such as `dgl(label_smoothing=0.1)` answers to its name too.
    A file without rows or without the columns of an evaluate.csv, an unknown column and conditions that no row meets
    are UserErrors.
    """
    found: list[dict[str, str]] = []
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
        found += rows
    return with_numbers(kept_rows(rows_once(found), conditions))


def rows_once(rows: Iterable[Mapping[str, str]]) -> list[Row]:
    """The rows, each once, with all columns that any of them has or a table needs; cells are text."""
    rows = list(rows)
    columns = list(dict.fromkeys([*(column for row in rows for column in row), *LINE, *SHARED, *ONE_A_LINE, *TIMED_BY, *FIGURES]))
    once = dict.fromkeys(tuple(row.get(column) or "" for column in columns) for row in rows)
    return [dict(zip(columns, cells, strict=True)) for cells in once]


def with_numbers(rows: Iterable[Row]) -> list[Row]:
    """The same with the cells of `FIGURES` as numbers, NaN where they are empty."""
    read = {name: int if COLUMNS[name].type is COUNT else float for name in FIGURES}
    return [row | {name: number(row[name]) if row[name] else math.nan for name, number in read.items()} for row in rows]


def kept_rows(rows: list[Row], conditions: Sequence[str]) -> list[Row]:
    """The rows, which have the same columns, in which every `column=value` holds (`read_rows`)."""
    for column, values in wanted_cells(conditions, rows[0] if rows else ()).items():
        kept = [row for row in rows if holds(row[column], values)]
        if not kept:
            there = listed(row[column] for row in rows)
            raise UserError(f"no row is left where {column}={' or '.join(values)}; there, {column} is {there}")
        rows = kept
    return rows


def wanted_cells(conditions: Sequence[str], columns: Iterable[str]) -> dict[str, list[str]]:
    """The values that `column=value` asks for, by column; UserErrors where it is not written so or there is no such column."""
    wanted: dict[str, list[str]] = {}
    known = set(columns)
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise UserError(f"--where is written column=value, got {condition!r}")
        if column not in known:
            raise unknown("column", column, known)
        wanted.setdefault(column, []).append(value)
    return wanted


def holds(cell: object, values: Sequence[str]) -> bool:
    """Whether a cell is one of the values that were asked for, or a component of that name."""
    text = str(cell)
    return text in values or text.partition("(")[0] in values


def lines_of(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each line of a table, which differ in their seeds, in the order in which lines first came."""
    lines: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        lines.setdefault(line_key(row), []).append(row)
    return list(lines.values())


def line_key(row: Mapping[str, str]) -> tuple[str, ...]:
    """What tells the row's line of a table from the others; a column that the row lacks is empty."""
    return tuple(row.get(column) or "" for column in LINE)


def check_comparable(rows: Sequence[Row]) -> None:
    """Refuse, with a UserError that names columns and values, rows that no common table can hold.

    All rows share the columns `SHARED` and what K means; the rows of a line share the recipe, and each has a seed of its own.
    """
    if differing := [column for column in SHARED if disagree(rows, column)]:
        raise UserError(
            f"rows of one table agree in {', '.join(differing)}, but "
            + "; ".join(f"{column} is {listed(row[column] for row in rows)}" for column in differing)
            + narrowed(rows, differing[0])
        )
    for line in lines_of(rows):
        check_line(line)


def check_line(line: Sequence[Row]) -> None:
    """Refuse rows of one line that cannot be averaged, or that count K otherwise."""
    method, point = line[0]["method"], line[0]["decoupling"]
    for num_blocks in dict.fromkeys(row["num_blocks"] for row in line):
        if Decoupling.parse(point).num_blocks != num_blocks and not (num_blocks == 1 and _may_be_joint(method)):
            raise UserError(
                f"K counts the blocks that no gradient joins, one more than the cuts, but num_blocks is {num_blocks} "
                f"where {method} has '{point}'; leave these rows out with --where num_blocks=K"
            )
    if differing := [column for column in ONE_A_LINE if disagree(line, column)]:
        raise UserError(
            f"the seeds of {method} on '{point}' are averaged, but {differing[0]} is "
            f"{listed(row[differing[0]] for row in line)}" + narrowed(line, differing[0])
        )
    seeds = Counter(row["seed"] for row in line)
    repeated = next((row["seed"] for row in line if seeds[row["seed"]] > 1), None)
    if repeated is not None:
        twice = [row for row in line if row["seed"] == repeated]
        column = next(
            name
            for name in (*DATA, *TIMED_BY, *ASKED, *twice[0])
            if name in twice[0] and len({str(row[name]) for row in twice}) > 1
        )
        raise UserError(
            f"a seed counts once, got seed {repeated} of {method} on '{point}' "
            f"{len(twice)} times; {column} is {listed(row[column] for row in twice)}" + narrowed(twice, column)
        )


@cache
def _may_be_joint(method: str) -> bool:
    """Whether all blocks may learn as one. Of a method of one's own nothing is known here: a row imports nothing."""
    return not METHODS.registers(method) or traits(method).end_to_end


def disagree(rows: Iterable[Row], column: str) -> bool:
    """Whether the column has several values. Where it is optional an empty cell agrees with any: a run that diverged has no
    `epochs` and no test split, and an older row no digests of its data."""
    known = COLUMNS.get(column)
    cells = {row[column] for row in rows}
    return len(cells - {""} if known and known.optional else cells) > 1


def listed(cells: Iterable[object]) -> str:
    """The values of a column, most frequent first, as text."""
    values = [str(value) or "empty" for value, _ in Counter(cells).most_common()]
    return ", ".join(values[:4]) + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def narrowed(rows: Iterable[Row], column: str) -> str:
    """How to ask for one value of the column."""
    condition = f"{column}={Counter(row[column] for row in rows).most_common(1)[0][0]}"
    shown = condition if len(condition) <= PASTED and condition.isprintable() else f"{column}=..."
    quoted = shown.replace("'", "'\"'\"'")  # for a shell, whatever the cell holds
    return f"; narrow with --where '{quoted}'"
