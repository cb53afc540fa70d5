"""A table as text: as wide as it needs to be, or within a terminal's columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

GAP = "  "
LEAST_LAST = 24  # columns of the last cell, before it has lines of its own
INDENT = "    "


@dataclass(frozen=True)
class Laid:
    """A table in parts: lines that stand `above` it, those of its header and its rule, and for each row its lines."""

    above: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        return "\n".join([*self.above, *self.head, *(line for row in self.rows for line in row)])


def table(header: Sequence[str], lines: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns as wide as they need to be; numbers to the right. With a `width` that is too small for that, `laid` says how."""
    return str(laid(header, lines, width))


def laid(header: Sequence[str], lines: Sequence[Sequence[str]], width: int | None = None) -> Laid:
    """The table within `width` columns; None for as many as it needs.

    Where it does not fit, columns that are the same in all rows move above it, headings go over several lines, and the last
    cell, such as a decoupling, wraps at its blocks, or has lines of its own below its row. In a window that is still too small
    each cell has a line.
    """
    columns = list(range(len(header)))
    plain = _rows(header, lines, columns, _widths(header, lines, columns))
    if width is None or max(map(len, [*plain.head, *(line for row in plain.rows for line in row)])) <= width:
        return plain
    alike = [i for i in columns[:-1] if len(lines) > 1 and len({line[i] for line in lines}) == 1]
    said = ", ".join(f"{header[i]}\u00a0{lines[0][i]}" for i in alike if lines[0][i])
    above = [line.replace("\u00a0", " ") for line in wrap(said, width)]
    above += [""] if above else []
    columns = [i for i in columns if i not in alike]
    widths = _narrow(header, lines, columns[:-1])
    beside = width - sum(widths) - len(GAP) * len(widths)
    last = max(len(line[-1]) for line in (header, *lines))
    if beside >= min(last, LEAST_LAST):
        found = _rows(header, lines, columns, [*widths, beside])
        return Laid(tuple(above), found.head, found.rows)
    if sum(widths) + len(GAP) * (len(widths) - 1) <= width and columns[:-1]:
        found = _rows(header, lines, columns[:-1], widths)
        below = [tuple(INDENT + part for part in broken(line[-1], width - len(INDENT))) for line in lines]
        named = tuple(INDENT + part for part in broken(header[-1], width - len(INDENT)))
        head = (*found.head[:-1], *named, found.head[-1])
        return Laid(tuple(above), head, tuple((*row, *more) for row, more in zip(found.rows, below, strict=True)))
    rows = [tuple(part for i in columns for part in _said(header[i], line[i], width)) for line in lines]
    return Laid(tuple(above), (), tuple((*row, "") for row in rows))


def _said(heading: str, cell: str, width: int) -> list[str]:
    """A cell that has a line; none where it is empty."""
    return [f"{' ' * bool(number)}{part}" for number, part in enumerate(broken(f"{heading}: {cell}", width - 1))] if cell else []


def _widths(header: Sequence[str], lines: Sequence[Sequence[str]], columns: Sequence[int]) -> list[int]:
    return [max(len(line[i]) for line in (header, *lines)) for i in columns]


def _narrow(header: Sequence[str], lines: Sequence[Sequence[str]], columns: Sequence[int]) -> list[int]:
    """As wide as the cells, and the longest word of the heading."""
    return [max(max((len(line[i]) for line in lines), default=0), *map(len, header[i].split(" "))) for i in columns]


def _rows(header: Sequence[str], lines: Sequence[Sequence[str]], columns: Sequence[int], widths: Sequence[int]) -> Laid:
    """Each cell within the width of its column."""
    numeric = [
        i != len(header) - 1 and bool(lines) and all(line[i][:1].isdigit() or not line[i] for line in lines) for i in columns
    ]

    def written(line: Sequence[str], *, to_bottom: bool = False) -> tuple[str, ...]:
        cells = [broken(line[i], width) or [""] for i, width in zip(columns, widths, strict=True)]
        height = max(map(len, cells))
        filled = [[""] * (height - len(cell)) + cell if to_bottom else cell + [""] * (height - len(cell)) for cell in cells]
        return tuple(
            GAP.join(
                f"{parts[row]:>{width}}" if right else f"{parts[row]:{width}}"
                for parts, width, right in zip(filled, widths, numeric, strict=True)
            ).rstrip()
            for row in range(height)
        )

    rule = written(["─" * width for width in _spread(widths, columns, len(header))])
    return Laid((), (*written(header, to_bottom=True), *rule), tuple(map(written, lines)))


def _spread(widths: Sequence[int], columns: Sequence[int], count: int) -> list[int]:
    """The widths at their columns' places."""
    found = [0] * count
    for column, width in zip(columns, widths, strict=True):
        found[column] = width
    return found


def broken(text: str, width: int) -> list[str]:
    """The text in lines of this width, broken behind blanks and behind commas that are in no brackets: a decoupling at its
    blocks; in the middle of what is longer than a line."""
    if len(text) <= width:
        return [text]
    lines = [""]
    for piece in re.split(r"(?<= )|(?<=,)(?![^(]*\))", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > max(1, width):
            whole = lines.pop()
            lines += [whole[: max(1, width)], whole[max(1, width) :]]
    return [line.strip() for line in lines if line.strip()]


def optional(value: float | None, digits: int = 2) -> str:
    """The number as text; empty for None."""
    return "" if value is None else f"{value:.{digits}f}"
