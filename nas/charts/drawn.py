"""Charts drawn by matplotlib, fit for papers: SVG, PDF and PNG. The only file that imports matplotlib, once there is something to
draw; nothing of it needs a screen."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from nas.charts.chart import Axis, Chart, Drawable, HeatMap, Parallel, Series
from nas.charts.network import Network, shown
from nas.charts.palette import DASHES, FILLED, HEAT_HIGH, HEAT_LOW, LIGHT, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
COLUMN = 3.5  # inches of a paper's column
TALLEST = 200.0  # inches of a figure; what has more is cut off
_MARKERS = dict(zip(FILLED, ("o", "s", "D", "^", "v", "p", "P", "X", "*"), strict=True))
_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 1.5)),
    "dot": (0, (1, 1.2)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
    "longdash": (0, (9, 2)),
}
_STYLE: Any = {
    "pdf.fonttype": 42,  # fonts embedded as such, and not as shapes, which some journals refuse
    "ps.fonttype": 42,
    "svg.hashsalt": "decoupled-nas",  # the same chart is the same file
    "font.size": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
}
MANY = 200  # points of a chart, from which on they are small and without whiskers
AROUND = 0.5  # of the range of all means, which stays free above and below; longer intervals leave the panel
LONG = 8  # letters of a category's name, from which on categories stand one below the other
LETTERS_AN_INCH = 15.0
SIDE = 10  # letters an inch of the figure of a line beside a chart whose categories stand one below the other
RASTERIZED = 2000  # points of a series, from which on they are pixels in SVG and PDF as well


def draw(charts: Sequence[Drawable | Network], path: Path, *, width: float = COLUMN) -> None:
    """The charts side by side in one figure at `path`, whose ending says the format; `width` is that of each, in inches."""
    with _matplotlib() as figure_of:
        figure = figure_of(charts, width)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a link would lead elsewhere
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(path.suffix[1:], {})
        figure.savefig(path, dpi=200, metadata=undated)


@contextmanager
def _matplotlib() -> Iterator[Any]:
    """What makes a figure, with our settings. matplotlib would take its own from a `matplotlibrc` in the current folder, some of
    which run programs."""
    with chdir(Path(__file__).parent):
        import matplotlib
        import matplotlib.figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        yield _figure


def _figure(charts: Sequence[Drawable | Network], width: float) -> Figure:
    from matplotlib.figure import Figure

    names = _legend_names(charts)
    letters = int((width * len(charts) - 0.55) * LETTERS_AN_INCH)
    wrapped = [_wrapped(name, letters) for name in names]
    longest = max((len(line) for name in wrapped for line in name.split("\n")), default=0)
    columns = max(1, int(width * len(charts) / (0.55 + longest / LETTERS_AN_INCH)))
    rows = math.ceil(sum(name.count("\n") + 1 for name in wrapped) / columns)
    height = min(max(_height(chart, width) for chart in charts) + 0.14 * rows, TALLEST)
    figure = Figure(figsize=(width * len(charts), height), layout="constrained")
    panels = figure.subplots(1, len(charts), squeeze=False)[0]
    for panel, chart in zip(panels, charts, strict=True):
        _DRAW[type(chart)](panel, chart)
    if names:
        handles: dict[str, Any] = {}
        for panel, chart in zip(panels, charts, strict=True):
            if isinstance(chart, Chart) and _is_tall(chart):
                continue
            for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
                handles.setdefault(name, handle)
        figure.legend(
            handles.values(),
            [_wrapped(name, letters) for name in handles],
            loc="outside lower center",
            ncols=columns,
            columnspacing=1.2,
        )
    return figure


def _legend_names(charts: Sequence[Drawable | Network]) -> list[str]:
    """What the legend has; nothing where one series is all there is, or where each place says what it is."""
    names: dict[str, None] = {}
    for chart in charts:
        if isinstance(chart, Chart) and not _is_tall(chart):
            names |= dict.fromkeys(series.name for series in chart.series if not series.faint)
        elif isinstance(chart, Parallel):
            names |= dict.fromkeys(way.series for way in chart.ways)
    return list(names) if len(names) > 1 else []


def _height(chart: Drawable | Network, width: float) -> float:
    """In inches, without the legend."""
    if isinstance(chart, Network):
        return 0.75 + 0.34 * len(chart.blocks)
    if isinstance(chart, HeatMap):
        return 0.9 + min(0.16 * len(chart.values), 8.0)
    if isinstance(chart, Chart) and _is_tall(chart):
        return 0.6 + sum(0.09 + 0.12 * (_wrapped(name, int(SIDE * width)).count("\n") + 1) for name in chart.x.names)
    return min(0.72 * width, 3.2)


# ---- charts


def _is_tall(chart: Chart) -> bool:
    """Whether x runs down, since its names are long."""
    return any(len(name) > LONG for name in chart.x.names)


def _draw_chart(panel: Axes, chart: Chart) -> None:
    tall, many = _is_tall(chart), sum(len(series.points) for series in chart.series) > MANY
    for series in chart.series:
        _draw_series(panel, series, tall=tall, many=many)
    ends = _ends(chart)
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
    dashes: Any = _DASHES[DASHES[series.marker % len(DASHES)]]
    look: dict[str, Any] = {
        "color": LIGHT[series.colour],
        "label": None if series.faint else _plain(series.name),
        "rasterized": len(points) > RASTERIZED,
        "marker": _MARKERS[MARKERS[series.marker].removesuffix("-open")],
        "markersize": 2.2 if many else 2.6 if series.faint else 4.2,
        "markeredgewidth": 0,
        "linestyle": "none",
        "linewidth": 0.7 if series.faint else 1.2,
        "drawstyle": "steps-post" if series.style in ("steps", "front") else "default",
        "zorder": 2 if series.faint else 3,
    }
    if MARKERS[series.marker].endswith("-open"):
        look |= {"markerfacecolor": "white", "markeredgewidth": 0.9}
    if series.style == "front":
        look |= {"marker": "none", "linestyle": (0, (4, 1.5)), "linewidth": 1.0, "zorder": 1.5}
    elif series.faint and series.style != "points":
        look |= {"marker": "none", "linestyle": dashes, "alpha": 0.9 if series.style == "band" else 0.45}
    elif series.style == "points":
        look |= {"alpha": 0.45 if series.faint else 0.6 if many else 1.0}
    else:
        look |= {"linestyle": dashes, "markevery": max(1, len(points) // 8) if series.style in ("band", "steps") else 1}
    panel.plot(across, up, **look)
    sure = [(point.x, point.low, point.high) for point in points if point.low is not None and point.high is not None]
    if series.style == "band" and sure:
        shade: Any = panel.fill_between
        shade(*zip(*sure, strict=True), color=look["color"], alpha=0.15, linewidth=0, zorder=1)
    elif series.style in ("points", "line") and sure and not series.faint and not many:
        whiskers: Any = panel.hlines if tall else panel.vlines
        whiskers(*zip(*sure, strict=True), colors=look["color"], linewidth=0.7, alpha=0.6, zorder=2)


def _set_axis(panel: Axes, which: str, axis: Axis, series: Sequence[Series]) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    own = panel.xaxis if which == "x" else panel.yaxis
    if axis.names:
        figure = panel.get_figure(root=True)
        letters = int(SIDE * (COLUMN if figure is None else figure.get_figwidth()))
        own.set_ticks(range(len(axis.names)), [_wrapped(_plain(name), letters) for name in axis.names])
        getattr(panel, f"set_{which}lim")(-0.5, len(axis.names) - 0.5)
        own.grid(visible=len(axis.names) > LONG)
        if all(len(name) <= LONG for name in axis.names):
            own.set_label_text(_plain(axis.title))
        return
    own.set_label_text(_plain(axis.title))
    if axis.log:
        getattr(panel, f"set_{which}scale")("log")
        low, high = getattr(panel, f"get_{which}lim")()
        subs: tuple[float, ...] = (1, 1.5, 2, 3, 5, 7) if high < 12 * low else (1, 2, 5) if high < 200 * low else (1,)
        own.set_major_locator(LogLocator(subs=subs, numticks=20))
        own.set_major_formatter(EngFormatter(sep="") if high >= 1e4 or low < 1e-2 else "{x:g}")
        own.set_minor_formatter(NullFormatter())
    elif all(float(point.x).is_integer() for one in series for point in one.points) and which == "x":
        own.set_major_locator(MaxNLocator(integer=True))


# ---- heat maps


def _draw_heat_map(panel: Axes, chart: HeatMap) -> None:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shares", [HEAT_LOW, "#6baed6", HEAT_HIGH]).with_extremes(bad="#f0f0f0")
    values = np.array([[np.nan if value is None else value for value in row] for row in chart.values])
    step = min((b - a for a, b in zip(chart.xs, chart.xs[1:], strict=False)), default=1.0)
    left, right = chart.xs[0] - step / 2, chart.xs[-1] + step / 2
    shown = panel.imshow(
        values,
        aspect="auto",
        cmap=shades,
        vmin=chart.low,
        vmax=chart.high,
        interpolation="nearest",
        extent=(left, right, len(values) - 0.5, -0.5),
    )
    panel.set_xlabel(_plain(chart.x.title))
    panel.set_ylabel(_plain(chart.y.title))
    panel.set_yticks(range(len(chart.y.names)), [_plain(name) for name in chart.y.names], fontsize=6 if len(values) > 20 else 7)
    for place in chart.marked:
        panel.get_yticklabels()[place].set_fontweight("bold")
        panel.plot([right], [place], marker="<", markersize=3.5, color="black", clip_on=False, zorder=4)
    panel.set_xlim(left, right)
    panel.grid(visible=False)
    panel.figure.colorbar(shown, ax=panel, label=_plain(chart.value.title), fraction=0.05, pad=0.04)


# ---- parallel coordinates


def _draw_parallel(panel: Axes, chart: Parallel) -> None:
    ends = [_range(chart, place) for place in range(len(chart.axes))]
    seen: set[str] = set()
    figure = panel.get_figure(root=True)
    letters = 12 if figure is None else max(6, int(18 * figure.get_figwidth() / len(chart.axes)))
    errors = [way.values[-1] or 0.0 for way in chart.ways]
    faint = 0.9 if len(chart.ways) <= 12 else 0.55 if len(chart.ways) <= 60 else max(0.08, 20 / len(chart.ways))
    best = min(range(len(errors)), key=errors.__getitem__)
    for number in sorted(range(len(chart.ways)), key=lambda place: -errors[place]):  # the best on top
        way = chart.ways[number]
        there = [(place, value) for place, value in enumerate(way.values) if value is not None]
        heights = [(value - ends[place][0]) / (ends[place][1] - ends[place][0]) for place, value in there]
        label = None if way.series in seen else _plain(way.series)
        seen.add(way.series)
        panel.plot(
            [place for place, _ in there],
            heights,
            color=LIGHT[way.colour],
            linestyle=_DASHES[DASHES[way.marker % len(DASHES)]],
            linewidth=1.9 if number == best else 0.8,
            alpha=1.0 if number == best else faint,
            label=label,
            zorder=3 if number == best else 2,
        )
    for place, axis in enumerate(chart.axes):
        panel.axvline(place, color="0.3", linewidth=0.7, zorder=1)
        for at, text in _ticks(axis, ends[place], letters):
            paper = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
            panel.text(place + 0.05, at, _plain(text), fontsize=6, va="center", ha="left", bbox=paper, zorder=5)
    panel.set_xticks(range(len(chart.axes)), [_plain(fill(axis.title, 10)) for axis in chart.axes])
    panel.set_yticks([])
    panel.set_xlim(-0.1, len(chart.axes) - 0.55)
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.tick_params(length=0)
    panel.grid(visible=False)


def _range(chart: Parallel, place: int) -> tuple[float, float]:
    values = [value for way in chart.ways if (value := way.values[place]) is not None] or [0.0]
    low, high = (0.0, len(chart.axes[place].names) - 1.0) if chart.axes[place].names else (min(values), max(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(axis: Axis, ends: tuple[float, float], letters: int) -> list[tuple[float, str]]:
    """Where an axis says what, in so many letters at most."""
    low, high = ends
    if axis.names:
        shown = [name if len(name) <= letters else f"{name[: letters - 1]}…" for name in axis.names]
        return [((place - low) / (high - low), name) for place, name in enumerate(shown)]
    return [(share, f"{low + share * (high - low):.3g}") for share in (0.0, 0.5, 1.0)]


# ---- networks


def _draw_network(panel: Axes, network: Network) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    ink, quiet, own, stop = "0.15", "0.45", LIGHT[0], LIGHT[1]
    small: dict[str, Any] = {"fontsize": 6, "color": ink, "va": "center"}
    count, costs = len(network.blocks), network.costs
    for number, block in enumerate(network.blocks):
        y = number * _ROW
        panel.add_patch(_rounded(FancyBboxPatch, 0.0, y, _FRAME, 1.0, "#f3f6f9", "0.6"))
        length = max((len(one.units) for one in network.blocks), default=0)
        for place, _ in enumerate(block.units):
            wide = min(0.055, (_FRAME - 0.03) / max(length, 1))
            panel.add_patch(Rectangle((0.015 + place * wide, y + 0.16), 0.78 * wide, 0.34, facecolor=own, linewidth=0))
        panel.text(0.015, y + 0.73, block.range, **small)
        panel.annotate(
            "",
            (_HEAD, y + 0.5),
            (_FRAME, y + 0.5),
            arrowprops={"arrowstyle": "-|>", "color": ink, "lw": 0.7, "shrinkA": 0, "shrinkB": 0},
        )
        panel.add_patch(_rounded(FancyBboxPatch, _HEAD, y + 0.1, _HEAD_WIDE, 0.8, "#fdf3ec", stop))
        written = _plain(_wrapped(block.head, 16))
        own_size = {**small, "fontsize": _fitting(panel, written, _HEAD_WIDE - 0.02, 5.5)}
        panel.text(_HEAD + _HEAD_WIDE / 2, y + 0.5, written, ha="center", **own_size)
        if number + 1 < count:
            middle = y + 1.0 + (_ROW - 1.0) / 2
            panel.plot([0.05, 0.05], [y + 1.0, y + _ROW], color=ink, linewidth=0.8)
            if not network.joint:
                panel.plot([0.035, 0.065], [middle + 0.1, middle - 0.1], color=stop, linewidth=1.4)
                panel.plot([0.035, 0.065], [middle - 0.1, middle + 0.1], color=stop, linewidth=1.4)
            told = "the gradient goes on" if network.joint else "no gradient crosses here"
            panel.text(0.085, middle, told, **{**small, "color": quiet, "fontsize": 5.5})
    room = (1.0 - _BARS) / max(len(costs), 1)
    fit = {**small, "fontsize": _fitting(panel, "\n".join(["000 MiB.", *(cost.short for cost in costs)]), room - 0.025, 6)}
    for place, cost in enumerate(costs):
        left, wide = _BARS + place * room, room - 0.025
        heads: Sequence[float | None] = cost.head_values or (0.0,) * count
        most = max((value or 0.0) + (head or 0.0) for value, head in zip(cost.values, heads, strict=True)) or 1.0
        panel.text(left, -0.28, cost.short, **{**fit, "color": quiet})
        for number, (value, head) in enumerate(zip(cost.values, heads, strict=True)):
            y = number * _ROW
            if value is None:
                panel.text(left, y + 0.5, "not known", **{**fit, "color": quiet})
                continue
            panel.add_patch(Rectangle((left, y + 0.22), wide, 0.26, facecolor="#ececec", linewidth=0))
            panel.add_patch(Rectangle((left, y + 0.22), wide * value / most, 0.26, facecolor=own, linewidth=0))
            beside = Rectangle(
                (left + wide * value / most, y + 0.22),
                wide * (head or 0.0) / most,
                0.26,
                facecolor=stop,
                hatch="////",
                edgecolor="white",
                linewidth=0,
            )
            panel.add_patch(beside)
            unit = "" if cost.unit == cost.short else cost.unit
            panel.text(left, y + 0.74, shown(value + (head or 0.0), unit), **fit)
    panel.set_xlim(0.0, 1.0)
    panel.set_ylim((count - 1) * _ROW + 1.1, -0.5)
    panel.set_axis_off()
    if any(any(cost.head_values) for cost in costs):
        told = "orange, hatched: heads, which only training needs"
        panel.text(1.0, (count - 1) * _ROW + 1.25, told, ha="right", **{**small, "color": quiet, "fontsize": 5.5})


_ROW, _FRAME, _HEAD, _HEAD_WIDE, _BARS = (
    1.45,
    0.27,
    0.31,
    0.19,
    0.54,
)  # of a network's picture: a block's height, and places across


def _fitting(panel: Axes, text: str, share: float, most: float) -> float:
    """The size of letters, in points, at which the text's lines take up no more than the share of the panel's width."""
    longest = max(map(len, text.split("\n")))
    figure = panel.get_figure(root=True)
    return most if figure is None else min(most, 72 * figure.get_figwidth() * share / (0.62 * longest))


def _rounded(make: Any, x: float, y: float, width: float, height: float, face: str, edge: str) -> Any:
    return make(
        (x, y),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.012",
        mutation_aspect=8,
        facecolor=face,
        edgecolor=edge,
        linewidth=0.7,
    )


def _wrapped(text: str, letters: int) -> str:
    """In lines of so many letters, broken behind commas and blanks."""
    lines = [""]
    for piece in re.findall(r"[^, ]+[, ]?|[, ]", text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > letters:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip(" ") for line in lines)


def _plain(text: str) -> str:
    """A text that is no formula."""
    return text.replace("$", r"\$")


_DRAW: Mapping[type, Any] = {Chart: _draw_chart, HeatMap: _draw_heat_map, Parallel: _draw_parallel, Network: _draw_network}
