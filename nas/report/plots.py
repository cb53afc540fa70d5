"""Pictures of results. The only file of the framework that imports matplotlib, once there is something to draw; nothing of it
needs a screen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import chdir
from itertools import combinations
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from nas.objectives import OBJECTIVES, pareto_front
from nas.records.columns import COLUMNS
from nas.report.exit_lines import RULE, ExitLine, Points
from nas.searches import Evaluated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TALLEST = 200.0  # inches of a plot; what has more lines is cut off
ERROR, MEMORY = COLUMNS["validation_error"], COLUMNS["peak_activation_bytes"]
AXES = {  # each objective's label, and what its value is multiplied by
    "error": (ERROR.axis, ERROR.shown.times),
    "peak_memory": (MEMORY.axis, 1 / MEMORY.shown.over),
    "pipeline": ("largest stage's share of a step (%)", 100.0),
}


def _empty(width: float, height: float) -> Figure:
    """In inches. matplotlib would take settings from a `matplotlibrc` in the current folder, some of which run programs."""
    with chdir(Path(__file__).parent):
        from matplotlib.figure import Figure

    return Figure(figsize=(width, min(height, TALLEST)), layout="constrained")


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # a link would lead elsewhere
    figure.savefig(path, dpi=150)


def pareto_plot(evaluated: Sequence[Evaluated], front: Sequence[Evaluated], objectives: Sequence[str], path: Path) -> None:
    """A PNG at `path` with a panel for each pair of objectives: what was evaluated in grey, the front in colour.

    The line is the front of the panel's own two objectives; a point of the front off the line is there for a third.
    """
    pairs = list(combinations(objectives, 2))
    figure = _empty(5.2 * len(pairs), 4.2)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for panel, pair in zip(panels, pairs, strict=True):
        _draw(panel, evaluated, front, pair)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    _save(figure, path)


def _draw(panel: Axes, evaluated: Sequence[Evaluated], front: Sequence[Evaluated], pair: tuple[str, str]) -> None:
    across, up = reversed(pair)

    def values(points: Sequence[Evaluated], name: str) -> list[float]:
        return [AXES[name][1] * OBJECTIVES[name](point.score) for point in points]

    x, y = values(front, across), values(front, up)
    line = sorted(pareto_front(list(zip(x, y, strict=True))), key=x.__getitem__)
    panel.scatter(values(evaluated, across), values(evaluated, up), s=18, color="0.7", label=f"evaluated ({len(evaluated)})")
    panel.step([x[i] for i in line], [y[i] for i in line], where="post", color="tab:red", linewidth=1.2)
    panel.scatter(x, y, s=30, color="tab:red", label=f"Pareto front ({len(front)})", zorder=3)
    panel.set_xlabel(AXES[across][0])
    panel.set_ylabel(AXES[up][0])
    panel.grid(alpha=0.3)


COSTS = {"macs": "", "seconds": "s"}  # columns of costs, and their units behind the numbers of an axis
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#7a5195", "#8c564b", "#e69f00", "#4d4d4d", "#999933")
MARKERS = "osD^vPX*<>"
AROUND = 0.25  # of the range of all means, which stays free above and below; longer intervals leave the panel


def exit_plot(lines: Sequence[ExitLine], path: Path) -> None:
    """A PNG at `path`: test error against what a sample costs, in MACs and in measured seconds, a panel each.

    Markers with 95 % intervals over the seeds are where all samples stop at one exit, the thin line of the same colour
    adaptive inference. A cost that no row has, as in rows of before it was measured, has no panel.
    """
    costs = [cost for cost in COSTS if any(isfinite(value) for line in lines for value in getattr(line.static, cost))]
    figure = _empty(5.6 * len(costs), 4.4 + 0.12 * len(lines))
    panels = figure.subplots(1, len(costs), squeeze=False, sharey=True)[0]
    for panel, cost in zip(panels, costs, strict=True):
        for i, line in enumerate(lines):
            _draw_line(panel, line, cost, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        if any(line.adaptive for line in lines):
            panel.plot([], [], linewidth=1, color="0.4", label=f"thin: samples leave when sure ({RULE})")
        _scale(panel, cost)
    means = [error for line in lines for points in (line.static, line.adaptive) if points for error in points.errors]
    free = max(AROUND * (max(means) - min(means)), 1.0)
    panels[0].set_ylim(max(min(means) - free, 0), min(max(means) + free, 100))
    panels[0].set_ylabel(COLUMNS["test_error"].axis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    _save(figure, path)


def _draw_line(panel: Axes, line: ExitLine, cost: str, colour: str, marker: str) -> None:
    def across(points: Points) -> Sequence[float]:
        return getattr(points, cost)

    panel.errorbar(
        across(line.static),
        line.static.errors,
        line.static.intervals,
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=1.8,
        capsize=2.5,
        elinewidth=0.9,
        label=line.label.replace("$", r"\$"),
    )
    if line.adaptive:
        panel.plot(across(line.adaptive), line.adaptive.errors, linewidth=1, color=colour)


def _scale(panel: Axes, cost: str) -> None:
    """A logarithmic axis that names 1, 2 and 5 of each decade, or only 1 where there are many."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    panel.set_xscale("log")
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,), numticks=20))
    panel.xaxis.set_major_formatter(EngFormatter(COSTS[cost]))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(COLUMNS[cost].label)
    panel.grid(alpha=0.3)
