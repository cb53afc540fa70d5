"""A chart is data: what it says, its axes and its points. Plotly draws it on the page, matplotlib for papers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Style = Literal["points", "line", "steps", "band", "front"]


@dataclass(frozen=True)
class Axis:
    """What runs along an edge; numbers are in `unit`. With `names` it is categorical: the number 2 is the third of them, and
    points of one name may stand a little beside one another; where names are long it is best drawn downwards."""

    label: str
    unit: str = ""
    log: bool = False
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True)
class Point:
    """A point. `low` and `high` are the ends of the 95 % interval of the mean y over seeds, None for a single seed; `text` says
    in lines what it is, with units; `command` made its first row; `group` is the key of its line of the fair table, by which
    charts and table are filtered together, empty where it is of none."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    text: str = ""
    command: str = ""
    group: str = ""


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    style   points: markers; line: markers joined; steps: joined by stairs, each value until the next; band: a line in the shade
            from low to high; front: stairs without markers, of what no other point is better than
    colour  and `marker` are numbers of `nas.charts.palette`
    faint   thin and behind the others, such as a single run behind the mean; not in the legend
    """

    name: str
    points: tuple[Point, ...]
    style: Style
    colour: int
    marker: int
    faint: bool = False


@dataclass(frozen=True)
class Chart:
    """Series over two axes.

    name   of its file and its place on the page: that of its kind, and behind it which of several
    kind   its name in `nas.charts.table.CHARTS`
    table  the name of the fair table (`nas.report.fair_tables`) whose rows it shows, empty where they are of none
    title  of one line, `about` a plain sentence or two: its caption, and its text for screen readers
    note   a line such as the settings that tell this chart from others of its kind
    """

    name: str
    kind: str
    title: str
    about: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    table: str = ""
    note: str = ""


@dataclass(frozen=True)
class HeatMap:
    """A value for each x and each named y: `values[i][j]` is that of `y.names[i]` at `xs[j]`, None where there is none, between
    `low` and `high`; `texts` says what is shown there, and `marked` are rows to be told apart, such as gaps that were cut."""

    name: str
    kind: str
    title: str
    about: str
    x: Axis
    y: Axis
    xs: tuple[float, ...]
    values: tuple[tuple[float | None, ...], ...]
    value: Axis
    low: float
    high: float
    marked: tuple[int, ...] = ()
    command: str = ""
    table: str = ""
    note: str = ""


@dataclass(frozen=True)
class Way:
    """A line through all axes of a `Parallel`: a value for each, None where there is none."""

    values: tuple[float | None, ...]
    text: str = ""
    command: str = ""
    group: str = ""
    series: str = ""
    colour: int = 0
    marker: int = 0


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates: each way a decoupling, crossing each axis at its value; the last axis is what was measured."""

    name: str
    kind: str
    title: str
    about: str
    axes: tuple[Axis, ...]
    ways: tuple[Way, ...]
    table: str = ""
    note: str = ""


Drawable = Chart | HeatMap | Parallel
