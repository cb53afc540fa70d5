"""Parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from nas.charts.chart import Axis, Parallel
from nas.charts.drawn.lines import dashes_of
from nas.charts.drawn.texts import plain, width_of
from nas.charts.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_parallel(panel: Axes, chart: Parallel) -> None:
    ends = [_range(chart, place) for place in range(len(chart.axes))]
    seen: set[str] = set()
    letters = max(6, int(18 * width_of(panel) / len(chart.axes)))
    errors = [way.values[-1] or 0.0 for way in chart.ways]
    faint = 0.9 if len(chart.ways) <= 12 else 0.55 if len(chart.ways) <= 60 else max(0.08, 20 / len(chart.ways))
    best = min(range(len(errors)), key=errors.__getitem__)
    for number in sorted(range(len(chart.ways)), key=lambda place: -errors[place]):  # the best on top
        way = chart.ways[number]
        there = [(place, value) for place, value in enumerate(way.values) if value is not None]
        heights = [(value - ends[place][0]) / (ends[place][1] - ends[place][0]) for place, value in there]
        label = None if way.series in seen else plain(way.series)
        seen.add(way.series)
        panel.plot(
            [place for place, _ in there],
            heights,
            color=LIGHT[way.colour],
            linestyle=dashes_of(way.marker),
            linewidth=1.9 if number == best else 0.8,
            alpha=1.0 if number == best else faint,
            label=label,
            zorder=3 if number == best else 2,
        )
    for place, axis in enumerate(chart.axes):
        panel.axvline(place, color="0.3", linewidth=0.7, zorder=1)
        for at, text in _ticks(axis, ends[place], letters, [way.values[place] for way in chart.ways]):
            paper = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
            panel.text(place + 0.05, at, plain(text), fontsize=6, va="center", ha="left", bbox=paper, zorder=5)
    panel.set_xticks(range(len(chart.axes)), [plain(fill(axis.title, 10)) for axis in chart.axes])
    panel.set_yticks([])
    panel.set_xlim(-0.1, len(chart.axes) - 0.55)
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.tick_params(length=0)
    panel.grid(visible=False)


def _range(chart: Parallel, place: int) -> tuple[float, float]:
    values = [value for way in chart.ways if (value := way.values[place]) is not None] or [0.0]
    low, high = (0.0, len(chart.axes[place].names) - 1.0) if chart.axes[place].names else (min(values), max(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(axis: Axis, ends: tuple[float, float], letters: int, values: Sequence[float | None]) -> list[tuple[float, str]]:
    """Where an axis says what, in so many letters at most; one of whole `values`, such as blocks, at whole numbers."""
    low, high = ends
    if axis.names:
        shown = [name if len(name) <= letters else f"{name[: letters - 1]}…" for name in axis.names]
        return [((place - low) / (high - low), name) for place, name in enumerate(shown)]
    if high - low >= 1 and all(value is None or value == round(value) for value in values):
        numbers = dict.fromkeys((round(low), round((low + high) / 2), round(high)))
        return [((number - low) / (high - low), f"{number:,}") for number in numbers if low <= number <= high]
    return [(share, f"{low + share * (high - low):.3g}") for share in (0.0, 0.5, 1.0)]
