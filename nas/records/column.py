"""What is known of a column of the results files; the columns themselves are in `nas.records.columns`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from nas.records.cell_types import TEXT, CellType

# Without its ending .csv.
File = Literal["evaluate", "search", "ensembles", "exits", "curves", "history", "trials", "decisions", "alpha_beta"]


class Role(Enum):
    """What a column says of its row."""

    IDENTITY = "what was trained, or asked"
    SETTING = "how it was trained"
    RECIPE = "how it was trained, tuned for each method"
    MEASUREMENT = "what was measured beside the error"
    PLACE = "where in a run or search the row is"
    FIGURE = "what came out"
    PROVENANCE = "where the row comes from"


class Compared(Enum):
    """What a column means to a table of rows side by side (`nas.report.comparable`)."""

    LINE = "tells lines of a table apart"
    ADAPTED = "tells lines apart, and stands above the table where all agree"
    SHARED = "the same in all rows of a table"
    ONE_A_LINE = "the same in all rows of a line"
    TIMED_BY = "seconds are compared only where it is the same"


@dataclass(frozen=True)
class Shown:
    """How people are shown a number: `times` or `over` so much, in `unit`, by Python's format `digits`."""

    unit: str = ""
    times: float = 1.0
    over: float = 1.0
    digits: str = "g"


PERCENT, MEBIBYTES, THOUSANDS, MILLIONS = (
    Shown("%", times=100, digits=".2f"),
    Shown("MiB", over=2**20, digits=".1f"),
    Shown("k", over=1e3, digits=",.1f"),
    Shown("M", over=1e6, digits=",.2f"),
)


@dataclass(frozen=True)
class Column:
    """A column: what its cells hold and mean, who has it, and how it is compared and shown.

    files     which have it; `always` those in which no row leaves it empty
    unit      of the number in the file, which is written raw
    meaning   a plain sentence, for results/README.md
    compared  None where rows may differ in it
    optional  an empty cell agrees with any, as in rows of older versions
    measured  a figure that nas/evaluation/figures/ has a file for, of the same name: of every run that trains, or where asked for
    tabled    whether the fair table of `compare` has it, unasked
    label     of an axis, `short` of a table's column; the name where they are empty
    """

    name: str
    role: Role
    files: tuple[File, ...]
    meaning: str
    type: CellType = TEXT
    unit: str = ""
    always: tuple[File, ...] = ()
    compared: Compared | None = None
    optional: bool = False
    measured: Literal["always", "asked"] | None = None
    tabled: bool = False
    better: Literal["lower", "higher"] | None = None
    shown: Shown = Shown()
    label: str = ""
    short: str = ""

    @property
    def axis(self) -> str:
        """The label of an axis, with the unit in which it is shown."""
        label = self.label or self.name.replace("_", " ")
        return f"{label} ({self.shown.unit})" if self.shown.unit else label

    @property
    def heading(self) -> str:
        """Of a table's column, with the unit in which it is shown."""
        return f"{self.short or self.name.replace('_', ' ')} {self.shown.unit}".strip()

    def show(self, value: float | None) -> str:
        """A number of the file as people are shown it; nothing for None and NaN, which are not there."""
        return "" if value is None or math.isnan(value) else format(self.shown.times * value / self.shown.over, self.shown.digits)
