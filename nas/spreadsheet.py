"""Text in a CSV file that a spreadsheet would take for a formula."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"\s*[=+\-@\t\r|%]")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def as_text(cell: object) -> object:
    """A text that begins like a formula with an apostrophe before it, which makes it a text everywhere; all else as it is."""
    formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if formula else cell
