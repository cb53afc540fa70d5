"""What a search of several objectives evaluated, a chart for each pair of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from nas.charts.chart import Axis, Chart, Drawable, Point, Series
from nas.charts.errors import front_series
from nas.charts.look import Look
from nas.objectives import OBJECTIVES
from nas.records.columns import COLUMNS
from nas.report.short_names import short_decoupling
from nas.searches import Evaluated

_ERROR, _MEMORY = COLUMNS["validation_error"], COLUMNS["peak_activation_bytes"]
AXES = {  # each objective's axis, and what its value is multiplied by
    "error": (Axis("validation error", _ERROR.shown.unit), _ERROR.shown.times),
    "peak_memory": (Axis(_MEMORY.label, _MEMORY.shown.unit), 1 / _MEMORY.shown.over),
    "pipeline": (Axis("largest stage's share of a step", "%"), 100.0),
}
ALL, BEST = Look(6, 0), Look(1, 2)


def pareto_charts(evaluated: Sequence[Evaluated], front: Sequence[Evaluated], objectives: Sequence[str]) -> list[Drawable]:
    """What was evaluated in grey, the front in colour.

    The stairs are the front of the chart's own two objectives; a point of the front off the stairs is there for a third.
    """
    return [_of_pair(evaluated, front, *pair) for pair in combinations(objectives, 2)]


def _of_pair(evaluated: Sequence[Evaluated], front: Sequence[Evaluated], up: str, across: str) -> Chart:
    every, best = (tuple(_point(one, across, up) for one in points) for points in (evaluated, front))
    stairs = front_series(best, "front of these two")
    return Chart(
        f"pareto_{up}_{across}",
        "pareto",
        "What the search evaluated",
        f"{AXES[up][0].label.capitalize()} against {AXES[across][0].label} of what a search evaluated, and of its Pareto front.",
        AXES[across][0],
        AXES[up][0],
        (
            Series(f"evaluated ({len(every)})", every, "points", ALL.colour, ALL.marker),
            Series(stairs.name, stairs.points, "front", BEST.colour, BEST.marker),
            Series(f"Pareto front ({len(best)})", best, "points", BEST.colour, BEST.marker),
        ),
    )


def _point(one: Evaluated, across: str, up: str) -> Point:
    x, y = (AXES[name][1] * OBJECTIVES[name](one.score) for name in (across, up))
    return Point(x, y, text=f"{short_decoupling(str(one.decoupling))}\nseed {one.seed}")
