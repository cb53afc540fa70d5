"""A network: its blocks from input to classifier, where the gradient stops, and what each block takes, to scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nas.charts.drawn.texts import fitting, plain, wrapped
from nas.charts.network import Network, shown
from nas.charts.palette import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_network(panel: Axes, network: Network) -> None:
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
        written = plain(wrapped(block.head, 16))
        own_size = {**small, "fontsize": fitting(panel, written, _HEAD_WIDE - 0.02, 5.5)}
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
    fit = {**small, "fontsize": fitting(panel, "\n".join(["000 MiB.", *(cost.short for cost in costs)]), room - 0.025, 6)}
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
