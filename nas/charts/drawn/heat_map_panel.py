"""A heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.charts.chart import HeatMap
from nas.charts.drawn.texts import plain
from nas.charts.palette import HEAT_HIGH, HEAT_LOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_heat_map(panel: Axes, chart: HeatMap) -> None:
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
    panel.set_xlabel(plain(chart.x.title))
    panel.set_ylabel(plain(chart.y.title))
    panel.set_yticks(range(len(chart.y.names)), [plain(name) for name in chart.y.names], fontsize=6 if len(values) > 20 else 7)
    for place in chart.marked:
        panel.get_yticklabels()[place].set_fontweight("bold")
        panel.plot([right], [place], marker="<", markersize=3.5, color="black", clip_on=False, zorder=4)
    panel.set_xlim(left, right)
    panel.grid(visible=False)
    panel.figure.colorbar(shown, ax=panel, label=plain(chart.value.title), fraction=0.05, pad=0.04)
