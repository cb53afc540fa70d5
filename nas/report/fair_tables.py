"""Several fair tables of rows that no single one can hold: each has those that may stand side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nas.records.columns import COLUMNS
from nas.report.comparable import ONE_A_LINE, SHARED, Row, check_line, disagree, line_key, lines_of, rows_once, with_numbers
from nas.report.fair_table import FairTable, Line, fair_table_and_rows, line_name
from spaces.notation.errors import UserError

FIRM = tuple(column for column in SHARED if not COLUMNS[column].optional)
LOOSE = tuple(column for column in SHARED if COLUMNS[column].optional)  # where an empty cell agrees with any

LONGEST_NAME = 40  # characters of a table's name in a file's name


@dataclass(frozen=True)
class ShownLine:
    """A line of a fair table with its rows. `key` tells it from all lines of all tables, today and tomorrow; `label` is what
    people call its method."""

    key: str
    label: str
    line: Line
    rows: tuple[Row, ...]

    @property
    def command(self) -> str:
        """What made its first row."""
        return str(self.rows[0].get("command") or "")


@dataclass(frozen=True)
class Table:
    """A fair table and its lines, in its order. `name` is short and fit for a file's name, empty where there is one table only;
    `title` says what its rows share and those of others do not."""

    name: str
    title: str
    fair: FairTable
    lines: tuple[ShownLine, ...]


def fair_tables(rows: Iterable[Mapping[str, str]]) -> tuple[tuple[Table, ...], list[str]]:
    """The tables of rows of evaluate, those of most lines first, and what could not be compared, a sentence each."""
    refused: list[str] = []
    groups = [kept for group in comparable_groups(rows_once(rows)) if (kept := list(_without_refused(group, refused)))]
    found = sorted(map(fair_table_and_rows, groups), key=lambda pair: -len(pair[0].lines))
    titles = told_apart([_alike(fair, of_lines) for fair, of_lines in found])
    names = file_names(titles)
    tables = []
    for (fair, of_lines), name, title in zip(found, names, titles, strict=True):
        lines = tuple(
            ShownLine(key_of(own[0]), line_name(line, fair.shared), line, tuple(own))
            for line, own in zip(fair.lines, of_lines, strict=True)
        )
        tables.append(Table(name, title, fair, lines))
    return tuple(tables), refused


def _alike(fair: FairTable, of_lines: Sequence[Sequence[Row]]) -> dict[str, str]:
    """What all rows of a table have in common: what a table's rows share, and of the recipe what all lines have."""
    rows = [row for of_line in of_lines for row in of_line]
    return {**fair.shared, **{column: rows[0][column] for column in ONE_A_LINE if not disagree(rows, column)}}


def key_of(row: Mapping[str, str]) -> str:
    """The key of the line to which a row of evaluate, or one that has its settings, belongs."""
    return " | ".join([*line_key(row), *(str(row.get(column) or "") for column in (*FIRM, *ONE_A_LINE))])


def comparable_groups(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in groups that agree in all that a table's rows share, and within each line in what a line's rows share, in the
    order in which groups first came."""
    firm: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        firm.setdefault(tuple(row[column] for column in FIRM), []).append(row)
    return [one for group in firm.values() for part in _apart(group, LOOSE) for one in _by_recipe(part)]


def _by_recipe(rows: list[Row]) -> Iterator[list[Row]]:
    """The rows, of each line those of one recipe and data, that of most rows; what is left makes groups of its own."""
    first, rest = [], []
    for line in lines_of(rows):
        recipes: dict[tuple[str, ...], list[Row]] = {}
        for row in line:
            recipes.setdefault(tuple(row[column] for column in ONE_A_LINE), []).append(row)
        most = max(recipes.values(), key=len)
        first += most
        rest += [row for own in recipes.values() if own is not most for row in own]
    yield first
    if rest:
        yield from _by_recipe(rest)


def _apart(rows: list[Row], columns: Sequence[str]) -> Iterator[list[Row]]:
    """The rows apart by each of the columns; an empty cell goes with the value that most rows have."""
    if not columns:
        yield rows
        return
    column = columns[0]
    values = Counter(row[column] for row in rows if row[column])
    if len(values) < 2:
        yield from _apart(rows, columns[1:])
        return
    most = values.most_common(1)[0][0]
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row[column] or most, []).append(row)
    for part in parts.values():
        yield from _apart(part, columns[1:])


def _without_refused(rows: list[Row], refused: list[str]) -> Iterator[Row]:
    """The rows as a table takes them, but for lines that cannot be averaged; why is added to `refused`."""
    for line in lines_of(with_numbers(rows)):
        try:
            check_line(line)
        except UserError as error:
            refused.append(f"left out of the table: {error}")
        else:
            yield from line


def told_apart(shared: Sequence[Mapping[str, str]]) -> list[str]:
    """What of each table's shared settings others do not share, as `backbone vgg11(width=1.0), epochs 15.0`."""
    names = dict.fromkeys(name for one in shared for name in one)
    differing = [name for name in names if len({one.get(name, "") for one in shared}) > 1]
    if any(name in differing for name in ("backbone", "task", "iterations", "scale")):  # which say it to people
        differing = [
            name for name in differing if not name.endswith("_digest") and not (name == "epochs" and "iterations" in differing)
        ]
    return [", ".join(f"{name} {one[name]}" for name in differing if one.get(name)) for one in shared]


def file_names(titles: Sequence[str]) -> list[str]:
    """A short name for each, of letters, digits and hyphens, no two the same; empty where there is only one."""
    if len(titles) < 2:
        return [""] * len(titles)
    names: list[str] = []
    for title in titles:
        words = [_word(*part.partition(" ")[::2]) for part in re.split(r", (?=[a-z_]+ )", title)]
        words = [word for word in words if word != "space"] or words  # which all are called
        name = re.sub(r"[^a-z0-9.]+", "-", "-".join(words).lower()).strip("-.") or "table"
        name = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME + 1].rpartition("-")[0] or name[:LONGEST_NAME]
        number = sum(other == name or other.startswith(f"{name}-no") for other in names)
        names.append(f"{name}-no{number + 1}" if number else name)
    return names


def _word(setting: str, value: str) -> str:
    """What says most of a setting: its value without what is in brackets, with its own name where that is a number."""
    value = value.partition("(")[0]
    return f"{setting}-{value}" if re.fullmatch(r"[\d.e-]+", value) else value
