"""What the cells of a column hold: the rule, how a cell is read, and what it is in a DataFrame."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from nas.records.status import is_status
from spaces.decoupling import Decoupling
from spaces.notation.component import Component


@dataclass(frozen=True)
class CellType:
    """A kind of cell.

    rule   what a cell holds, in words
    read   gives the cell as `ResultsLog` writes it, however a spreadsheet did (`TRUE`, `1E-04`, `3.0`); ValueError where the
           rule does not hold
    dtype  of the column in a pandas DataFrame; a cell that is empty is NA there
    """

    name: str
    rule: str
    read: Callable[[str], str]
    dtype: str = "string"

    @property
    def is_number(self) -> bool:
        """Whether one may compute with the cells."""
        return self.dtype in ("Int64", "Float64")


def _number(name: str, rule: str, holds: Callable[[float], bool]) -> CellType:
    def read(cell: str) -> str:
        if not cell.isascii() or "_" in cell or not holds(value := float(cell)):  # Python reads more than we write
            raise ValueError
        return repr(value)

    return CellType(name, rule, read, "Float64")


def _text(name: str, rule: str, check: Callable[[str], object]) -> CellType:
    """A text that stays as it is where `check` neither raises ValueError nor gives False."""

    def read(cell: str) -> str:
        if check(cell) is False:
            raise ValueError
        return cell

    return CellType(name, rule, read)


def _whole(cell: str) -> str:
    if not re.fullmatch(r"(?a:\d+(\.0*)?|\d+(\.\d+)?[eE]\+?\d{1,2})", cell) or not float(cell).is_integer():
        raise ValueError
    return str(int(cell) if cell.isdigit() else int(float(cell)))


def _flag(cell: str) -> str:
    if cell.title() not in ("True", "False"):
        raise ValueError
    return cell.title()


def _are_shares(cell: str) -> bool:
    return bool(cell.strip()) and all(0 <= float(share) <= 1 for share in cell.split())


def _are_finite(cell: str) -> bool:
    return bool(cell.strip()) and all(math.isfinite(float(number)) for number in cell.split())


def _is_folder(cell: str) -> bool:
    return "/" not in cell and "\0" not in cell and cell not in (".", "..")  # what a run's row names is written and removed


TEXT = _text("text", "a text", lambda cell: True)
SHARE = _number("share", "a share in 0..1", lambda value: 0 <= value <= 1)
AMOUNT = _number("number", "a number from 0 on", lambda value: 0 <= value < math.inf)
FINITE = _number("number", "a number", math.isfinite)
FLOAT = _number("number", "a number", lambda value: True)  # a loss on a split that decides nothing, an unreachable threshold
COUNT = CellType("whole number", "a whole number from 0 on", _whole, "Int64")
FLAG = CellType("flag", "True or False", _flag, "boolean")
COMPONENT = _text("component", "name or name(setting=value, ...)", Component.parse)
DECOUPLING = _text("decoupling", "a decoupling, such as 3:linear or uncut", Decoupling.parse)
STATUS = _text("status", "ok, or begins with diverged or out of memory", is_status)
NUMBERS = _text("numbers", "numbers with blanks between them", _are_finite)
SHARES = _text("shares", "shares in 0..1 with blanks between them", _are_shares)
DIGEST = _text("digest", "16 hexadecimal digits", lambda cell: re.fullmatch("[0-9a-f]{16}", cell) is not None)
FOLDER = _text("folder", "the name of a folder, without a path", _is_folder)
