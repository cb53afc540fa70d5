"""Rows that no one table can hold, as several fair tables, one for each set of rows that compares; what is left out is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.records.columns import COLUMNS
from nas.report.comparable import DATA, LINE, ONE_A_LINE, SHARED, disagree
from nas.report.fair_table import FairTable, fair_table
from nas.report.short_names import short_names
from spaces.notation.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

APART = (*ONE_A_LINE, *DATA)  # what rows of one line may differ in, so that each value has a table of its own


@dataclass(frozen=True)
class ComparedRows:
    """A set of rows that compares, as read, with its table. `told_apart` says in which columns other sets have other values, and
    its own; `full_methods` gives the method as rows have it of the short name in a line."""

    rows: pd.DataFrame
    table: FairTable
    told_apart: dict[str, str]
    full_methods: dict[str, str]


@dataclass(frozen=True)
class FairTables:
    """The tables, that of most rows first, and why rows are in none of them, a sentence each."""

    sets: tuple[ComparedRows, ...]
    refused: tuple[str, ...]


def fair_tables(rows: pd.DataFrame, figures: Sequence[str] = ()) -> FairTables:
    """As many tables of the rows of `nas.report.comparable.read_rows` as it takes for each to hold what compares."""
    found, refused = [], []
    for part in _parts(rows):
        try:
            there = [name for name in figures if name in part and (part[name] != "").any()]
            found.append((part, fair_table(part, there)))
        except UserError as error:
            number = f"{len(part)} rows are" if len(part) > 1 else "1 row is"
            refused.append(f"{number} in no table: {error}")
    found.sort(key=lambda pair: -len(pair[0]))
    differing = [name for name in (*SHARED, *APART) if len({_value(part, name) for part, _ in found}) > 1]
    sets = (
        ComparedRows(
            part,
            table,
            {name: value for name in dict.fromkeys(differing) if not disagree(part[name]) and (value := _value(part, name))},
            {short: full for full, short in short_names(part["method"].unique()).items()},
        )
        for part, table in found
    )
    return FairTables(tuple(sets), tuple(refused))


def _parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows in parts that agree in what a table's rows share, and within each line in what a line's rows share."""
    always = [name for name in SHARED if not COLUMNS[name].optional]
    sometimes = [name for name in SHARED if COLUMNS[name].optional]
    for _, part in rows.groupby(always, sort=False):
        for one in _split(part, sometimes):
            lines = one.groupby(list(LINE), sort=False).ngroup()
            apart = [name for name in APART if _differs_within(one, name, lines)]
            yield from _split(one, apart)


def _differs_within(rows: pd.DataFrame, name: str, lines: pd.Series) -> bool:
    cells = rows[name][rows[name] != ""] if COLUMNS[name].optional else rows[name]
    return bool((cells.groupby(lines[cells.index]).nunique() > 1).any())


def _split(rows: pd.DataFrame, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """By each column in which they disagree. Where an empty cell agrees with any, its row is of the most frequent value."""
    if not columns:
        yield rows
        return
    name, *others = columns
    if not disagree(rows[name]):
        yield from _split(rows, others)
        return
    cells = rows[name]
    if COLUMNS[name].optional:
        cells = cells.where(cells != "", cells[cells != ""].value_counts().index[0])
    for _, part in rows.groupby(cells, sort=False):
        yield from _split(part, others)


def _value(rows: pd.DataFrame, name: str) -> str:
    """The most frequent value of the column."""
    return str(rows[name].value_counts().index[0])
