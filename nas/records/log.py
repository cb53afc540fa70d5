"""A log of rows: what every kind of results store gives of one kind of rows, and how rows are found in it."""

from __future__ import annotations

import csv
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from nas.records.row_kinds import RowKind, written

Cell = str | int | float | bool | None


class Log(ABC):
    """Rows of text cells, oldest first, that many processes may share; `columns` are in the order in which they first came.

    A cell is written as `repr` of a float, nothing for None; a line break in it becomes a space. With a `kind` every row that is
    read is checked to be of it, and numbers and flags that a person has rewritten are again what was written.

    A store says how rows are read and appended (`_read`, `_append`). Every method raises UserError where it cannot be used or
    holds something else.
    """

    def __init__(self, kind: RowKind | None) -> None:
        self.kind = kind
        self._forget()

    @property
    @abstractmethod
    def where(self) -> str:
        """Where the rows lie, as people may be shown it."""

    @abstractmethod
    def row_at(self, number: int) -> str:
        """Where row `number`, from 0 on, lies, as people may be shown it."""

    @abstractmethod
    def check_ready(self) -> None:
        """Raise UserError unless what is there can be read and rows can be appended."""

    @abstractmethod
    def _read(self) -> None:
        """Bring what is in memory up to what is there."""

    @abstractmethod
    def _append(self, choose: Callable[[], Sequence[Mapping[str, str]]]) -> int:
        """Durably append what `choose` gives, all or none, and say how many rows that is. It is called while nobody else appends
        and all that is there is in memory."""

    def append(self, row: Mapping[str, Cell]) -> None:
        """Add one row durably. Columns that there were not yet come last; columns that the row lacks stay empty.

        A failed write (OSError, as on a full disk) leaves the complete rows as they were.
        """
        self.append_all([row])

    def append_all(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """`append` for several rows that come together: all of them or none."""
        cells = [_cells(row) for row in rows]
        self._append(lambda: cells)

    def append_once(self, row: Mapping[str, Cell], key: Mapping[str, object]) -> None:
        """`append`, unless `find(key)` would find a row, whoever wrote it."""
        cells = [_cells(row)]
        self._append(lambda: [] if self._found(key) else cells)

    def append_missing(self, rows: Sequence[Mapping[str, Cell]]) -> int:
        """Append those rows that are not there yet with the same cells, and say how many. Of equal rows there are then as many as
        were given, at least."""
        cells = [_cells(row) for row in rows]
        return self._append(lambda: self._missing(cells))

    def rows(self) -> list[dict[str, str]]:
        """All rows, oldest first; none where nothing was written yet."""
        self._read()
        return [self._row(number) for number in range(1, len(self._lines))]

    def find(self, key: Mapping[str, object]) -> dict[str, str] | None:
        """The first row whose cells equal the written form of every item in `key`; an absent column counts as empty.

        The first call with a set of columns indexes them; a later one costs a look-up and what was appended since.
        """
        self._read()
        return self._found(key)

    def find_all(self, key: Mapping[str, object]) -> list[dict[str, str]]:
        """All rows that `find` would take, oldest first, at the same cost."""
        self._read()
        return [self._row(number) for number in self._numbers(key)]

    def _missing(self, rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
        there = Counter(_filled(self._row(number)) for number in range(1, len(self._lines)))
        missing = []
        for row in rows:
            cells = _filled(row)
            if there[cells]:
                there[cells] -= 1
            else:
                missing.append(row)
        return missing

    def _found(self, key: Mapping[str, object]) -> dict[str, str] | None:
        numbers = self._numbers(key)
        return self._row(numbers[0]) if numbers else None

    def _numbers(self, key: Mapping[str, object]) -> list[int]:
        columns = tuple(cell_text(column) for column in key)
        places, indexed = self._indexes.get(columns, ({}, 1))
        for number in range(indexed, len(self._lines)):
            row = self._row(number)
            places.setdefault(tuple(row.get(column, "") for column in columns), []).append(number)
        self._indexes[columns] = places, max(indexed, len(self._lines))
        return places.get(tuple(self._wanted(key).values()), [])

    def _wanted(self, key: Mapping[str, object]) -> dict[str, str]:
        """The cells of the key as those of rows are read."""
        cells = _cells(key)
        return {column: written(column, cell) for column, cell in cells.items()} if self.kind else cells

    def _row(self, number: int) -> dict[str, str]:
        return dict(zip(self._lines[0], self._lines[number], strict=True))

    def _forget(self) -> None:
        self._lines: list[list[str]] = []  # the cells of the lines, the header first,
        self._indexes: dict[tuple[str, ...], tuple[dict[tuple[str, ...], list[int]], int]] = {}  # and what find() looked up


def check_columns(header: Sequence[str]) -> None:
    """Raise ValueError, with the rule, where these cannot be the columns of a log."""
    if not header:
        raise ValueError("a header names at least one column, got none")
    for column in header:
        if not re.match(r"[^\W\d]", column) or header.count(column) > 1:
            raise ValueError(f"a column's name starts with a letter and is there once, got {column!r}")


def cell_text(value: object) -> str:
    """The cell that holds `value`. `float.__repr__` also strips NumPy's type name from its float64; a zero byte, which not every
    store can hold, is written as an escape."""
    if value is None:
        return ""
    text = float.__repr__(value) if isinstance(value, float) else str(value)
    cell = re.sub(r"[\r\n]+", " ", text).replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
    if len(cell) > csv.field_size_limit():
        raise ValueError(f"a cell holds {csv.field_size_limit()} characters, or csv cannot read it; got {len(cell)}")
    return cell


def each_once(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """The rows, each once: a file that was joined with a copy of itself has them twice."""
    return [dict(cells) for cells in dict.fromkeys(tuple(row.items()) for row in rows)]


def _filled(row: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """The cells that are not empty, which a row may also lack."""
    return frozenset(item for item in row.items() if item[1])


def _cells(row: Mapping[str, object]) -> dict[str, str]:
    return {cell_text(column): cell_text(value) for column, value in row.items()}
