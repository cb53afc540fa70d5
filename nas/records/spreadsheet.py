"""Text in a CSV file that a spreadsheet would take for a formula."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"\s*[=+\-@\t\r|%\uff1d\uff0b\uff0d\uff20]")  # the last four are as wide as Chinese characters
_INSIDE = re.compile(r"(;\s*)(?=[=+\-@])")  # where semicolons part cells, as in many languages
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(inf|nan)")


def as_text(cell: object) -> object:
    """A text that begins like a formula, or has what does behind a semicolon, with an apostrophe there, which makes it a text
    everywhere; all else as it is."""
    if not isinstance(cell, str) or _NUMBER.fullmatch(cell):
        return cell
    return ("'" if _FORMULA.match(cell) else "") + _INSIDE.sub(r"\1'", cell)
