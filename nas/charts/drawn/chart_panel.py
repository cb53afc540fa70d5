"""A chart over two axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nas.charts.chart import Axis, Chart, Series
from nas.charts.drawn.lines import dashes_of, marker_of
from nas.charts.drawn.texts import plain, width_of, wrapped
from nas.charts.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY = 200  # points of a chart, from which on they are small and without whiskers
AROUND = 0.5  # of the range of all means, which stays free above and below; longer intervals leave the panel
LONG = 8  # letters of a category's name, from which on categories stand one below the other
SIDE = 10  # letters an inch of the figure of a line beside them
Interval = tuple[float, float, float]  # x, from, to
RASTERIZED = 2000  # points of a series, from which on they are pixels in SVG and PDF as well


def is_tall(chart: Chart) -> bool:
    """Whether x runs down, since its names are long."""
    return any(len(name) > LONG for name in chart.x.names)


def draw_chart(panel: Axes, chart: Chart) -> None:
    tall, many = is_tall(chart), _has_many(chart)
    for series in chart.series:
        _draw_series(panel, series, tall=tall, many=many)
    ends = _ends(chart)
    for series, whiskers in _whiskers(chart):
        _draw_whiskers(panel, whiskers, LIGHT[series.colour], ends, tall=tall)
    across, up = (chart.y, chart.x) if tall else (chart.x, chart.y)
    _set_axis(panel, "x", across, chart.series)
    _set_axis(panel, "y", up, chart.series)
    if tall:
        panel.invert_yaxis()
    if ends:
        (panel.set_xlim if tall else panel.set_ylim)(*ends)


def _ends(chart: Chart) -> tuple[float, float] | None:
    """Of the axis of y, so that one long interval does not press the means together."""
    values = [point.y for series in chart.series for point in series.points]
    reach = [end for series in chart.series for point in series.points for end in (point.low, point.high) if end is not None]
    if chart.y.log or not reach:
        return None
    free = max(AROUND * (max(values) - min(values)), 0.02 * max(map(abs, values)), 1e-6)
    low, high = max(min([*reach, *values]), min(values) - free), min(max([*reach, *values]), max(values) + free)
    edge = 0.04 * (high - low)
    return (max(low - edge, 0.0) if min(values) >= 0 else low - edge), high + edge


def _draw_series(panel: Axes, series: Series, *, tall: bool, many: bool) -> None:
    points = series.points
    across, up = [point.x for point in points], [point.y for point in points]
    if tall:
        across, up = up, across
    dashes = dashes_of(series.marker)
    look: dict[str, Any] = {
        "color": LIGHT[series.colour],
        "label": None if series.faint else plain(series.name),
        "rasterized": len(points) > RASTERIZED,
        **marker_of(series.marker),
        "markersize": 2.2 if many else 2.6 if series.faint else 4.2,
        "linestyle": "none",
        "linewidth": 0.7 if series.faint else 1.2,
        "drawstyle": "steps-post" if series.style in ("steps", "front") else "default",
        "zorder": 2 if series.faint else 3,
    }
    if series.style == "front":
        look |= {"marker": "none", "linestyle": (0, (4, 1.5)), "linewidth": 1.0, "zorder": 1.5}
    elif series.faint and series.style != "points":
        look |= {"marker": "none", "linestyle": dashes, "alpha": 0.9 if series.style == "band" else 0.45}
    elif series.style == "points":
        look |= {"alpha": 0.45 if series.faint else 0.6 if many else 1.0}
    else:
        look |= {"linestyle": dashes, "markevery": max(1, len(points) // 8) if series.style in ("band", "steps") else 1}
    panel.plot(across, up, **look)
    if series.style == "band" and (sure := _intervals(series)):
        shade: Any = panel.fill_between
        shade(*zip(*sure, strict=True), color=look["color"], alpha=0.15, linewidth=0, zorder=1)


def _draw_whiskers(
    panel: Axes, whiskers: Sequence[Interval], colour: str, ends: tuple[float, float] | None, *, tall: bool
) -> None:
    """And an arrow at the edge of the panel where one goes on behind it."""
    lines: Any = panel.hlines if tall else panel.vlines
    lines(*zip(*whiskers, strict=True), colors=colour, linewidth=0.7, alpha=0.6, zorder=2)
    if ends is None:
        return
    for edge, leaving, arrow in (
        (ends[0], [x for x, low, _ in whiskers if low < ends[0]], "<" if tall else "v"),
        (ends[1], [x for x, _, high in whiskers if high > ends[1]], ">" if tall else "^"),
    ):
        if leaving:
            at = [edge] * len(leaving)
            across, up = (at, leaving) if tall else (leaving, at)
            panel.plot(across, up, arrow, color=colour, markersize=3.5, markeredgewidth=0, clip_on=False, zorder=4)


def leaves_panel(chart: Chart) -> bool:
    """Whether a whisker goes on behind the edge of the panel, where an arrow is."""
    ends = _ends(chart)
    return ends is not None and any(
        low < ends[0] or high > ends[1] for _, whiskers in _whiskers(chart) for _, low, high in whiskers
    )


def _whiskers(chart: Chart) -> list[tuple[Series, list[Interval]]]:
    """The series whose intervals are drawn as whiskers, with these."""
    return [
        (series, found)
        for series in chart.series
        if series.style in ("points", "line") and not series.faint and not _has_many(chart) and (found := _intervals(series))
    ]


def _intervals(series: Series) -> list[Interval]:
    return [(point.x, point.low, point.high) for point in series.points if point.low is not None and point.high is not None]


def _has_many(chart: Chart) -> bool:
    return sum(len(series.points) for series in chart.series) > MANY


def _set_axis(panel: Axes, which: str, axis: Axis, series: Sequence[Series]) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    own = panel.xaxis if which == "x" else panel.yaxis
    if axis.names:
        letters = int(SIDE * width_of(panel))
        own.set_ticks(range(len(axis.names)), [wrapped(plain(name), letters) for name in axis.names])
        getattr(panel, f"set_{which}lim")(-0.5, len(axis.names) - 0.5)
        own.grid(visible=len(axis.names) > LONG)
        if all(len(name) <= LONG for name in axis.names):
            own.set_label_text(plain(axis.title))
        return
    own.set_label_text(plain(axis.title))
    if axis.log:
        getattr(panel, f"set_{which}scale")("log")
        low, high = getattr(panel, f"get_{which}lim")()
        subs: tuple[float, ...] = (1, 1.5, 2, 3, 5, 7) if high < 12 * low else (1, 2, 5) if high < 200 * low else (1,)
        own.set_major_locator(LogLocator(subs=subs, numticks=20))
        own.set_major_formatter(EngFormatter(sep="") if high >= 1e4 or low < 1e-2 else "{x:g}")
        own.set_minor_formatter(NullFormatter())
    elif all(float(point.x).is_integer() for one in series for point in one.points) and which == "x":
        own.set_major_locator(MaxNLocator(integer=True))


def height_of_tall(chart: Chart, width: float) -> float:
    """The height of a chart whose x runs down, in inches."""
    return 0.6 + sum(0.09 + 0.12 * (wrapped(name, int(SIDE * width)).count("\n") + 1) for name in chart.x.names)
