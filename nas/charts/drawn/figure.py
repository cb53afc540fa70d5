"""Charts drawn by matplotlib, fit for papers: SVG, PDF and PNG. matplotlib is imported in this folder alone, once there is
something to draw; nothing of it needs a screen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.charts.chart import Chart, Drawable, HeatMap, Parallel
from nas.charts.drawn.chart_panel import draw_chart, height_of_tall, is_tall
from nas.charts.drawn.heat_map_panel import draw_heat_map
from nas.charts.drawn.network_panel import draw_network
from nas.charts.drawn.parallel_panel import draw_parallel
from nas.charts.drawn.texts import COLUMN, wrapped
from nas.charts.network import Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")
TALLEST = 200.0  # inches of a figure; what has more is cut off
LETTERS_AN_INCH = 15.0  # of a legend
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
    lines = [wrapped(name, letters) for name in names]
    longest = max((len(line) for name in lines for line in name.split("\n")), default=0)
    columns = max(1, int(width * len(charts) / (0.55 + longest / LETTERS_AN_INCH)))
    rows = math.ceil(sum(name.count("\n") + 1 for name in lines) / columns)
    height = min(max(_height(chart, width) for chart in charts) + 0.14 * rows, TALLEST)
    figure = Figure(figsize=(width * len(charts), height), layout="constrained")
    panels = figure.subplots(1, len(charts), squeeze=False)[0]
    for panel, chart in zip(panels, charts, strict=True):
        _DRAW[type(chart)](panel, chart)
    if names:
        handles: dict[str, Any] = {}
        for panel, chart in zip(panels, charts, strict=True):
            if isinstance(chart, Chart) and is_tall(chart):
                continue
            for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
                handles.setdefault(name, handle)
        figure.legend(
            handles.values(),
            [wrapped(name, letters) for name in handles],
            loc="outside lower center",
            ncols=columns,
            columnspacing=1.2,
        )
    return figure


def _legend_names(charts: Sequence[Drawable | Network]) -> list[str]:
    """What the legend has; nothing where one series is all there is, or where each place says what it is."""
    names: dict[str, None] = {}
    for chart in charts:
        if isinstance(chart, Chart) and not is_tall(chart):
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
    if isinstance(chart, Chart) and is_tall(chart):
        return height_of_tall(chart, width)
    return min(0.72 * width, 3.2)


_DRAW: Mapping[type, Any] = {Chart: draw_chart, HeatMap: draw_heat_map, Parallel: draw_parallel, Network: draw_network}
