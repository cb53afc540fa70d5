"""CSV for spreadsheets, which would take some texts for formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

_FORMULA = re.compile(r"\s*[=+\-@\t\r|%\uff1d\uff0b\uff0d\uff20]")  # the last four are as wide as Chinese characters
_INSIDE = re.compile(r"(;\s*)(?=[=+\-@])")  # where semicolons part cells, as in many languages
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def as_text(cell: object) -> object:
    """A text that begins like a formula, or has what does behind a semicolon, with an apostrophe there, which makes it a text
    everywhere; all else as it is."""
    if not isinstance(cell, str) or _NUMBER.fullmatch(cell):
        return cell
    return ("'" if _FORMULA.match(cell) else "") + _INSIDE.sub(r"\1'", cell)


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows, which have the same columns, below a header; no cell is a formula, and None is an empty one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else ())
    writer.writerows([as_text(cell) for cell in row.values()] for row in rows)
    return text.getvalue()
