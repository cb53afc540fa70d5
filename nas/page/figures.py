"""Charts as plain data, in the sections of the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nas.charts.chart import Axis, Chart, Drawable, HeatMap, Parallel
from nas.charts.palette import DARK, DASHES, HEAT_HIGH, HEAT_LOW, LIGHT, MARKERS
from nas.page.pool import Pool

SECTIONS = {  # the kinds of charts that stand under one heading, in the order of the page
    "Error against K, memory and time": ("error_blocks", "error_memory", "error_seconds"),
    "Learning curves": ("learning", "exit_errors", "stage_losses"),
    "Exits": ("exits",),
    "Alpha and beta": ("alpha", "beta", "decisions"),
    "Searches": ("search", "search_memory"),
    "Decouplings in parallel coordinates": ("decouplings",),
    "Each seed": ("seeds",),
}


def sections_of(charts: Iterable[Drawable], pool: Pool) -> list[dict[str, Any]]:
    """The sections that have a chart. A kind that none of `SECTIONS` names has one of its own, under the title of its first."""
    of_kind = {kind: title for title, kinds in SECTIONS.items() for kind in kinds}
    found: dict[str, list[dict[str, Any]]] = {title: [] for title in SECTIONS}
    for chart in charts:
        found.setdefault(of_kind.get(chart.kind, chart.title), []).append(_figure(chart, pool))
    return [
        {"id": f"charts-{figures[0]['kind']}", "title": title, "about": None, "figures": figures}
        for title, figures in found.items()
        if figures
    ]


def palette() -> dict[str, Any]:
    """The colours of series on light and dark paper, markers, dashes, and the ends of heat maps."""
    return {"light": LIGHT, "dark": DARK, "markers": MARKERS, "dashes": DASHES, "heat": [HEAT_LOW, HEAT_HIGH]}


def _figure(chart: Drawable, pool: Pool) -> dict[str, Any]:
    common = {
        "id": chart.name,
        "kind": chart.kind,
        "title": chart.title,
        "about": chart.about,
        "note": chart.note,
        "table": chart.table,
    }
    if isinstance(chart, Chart):
        return {**common, "shape": "chart", **_chart(chart, pool)}
    if isinstance(chart, HeatMap):
        return {**common, "shape": "heat_map", **_heat_map(chart)}
    return {**common, "shape": "parallel", **_parallel(chart, pool)}


def _axis(axis: Axis) -> dict[str, Any]:
    return {"label": axis.label, "unit": axis.unit, "log": axis.log, "names": list(axis.names)}


def _chart(chart: Chart, pool: Pool) -> dict[str, Any]:
    """Points as lists: x, y, low, high, text, and the numbers of command and group in the pool."""
    return {
        "x": _axis(chart.x),
        "y": _axis(chart.y),
        "series": [
            {
                "name": one.name,
                "style": one.style,
                "colour": one.colour,
                "marker": one.marker,
                "faint": one.faint,
                "points": [
                    [point.x, point.y, point.low, point.high, point.text, pool.number(point.command), pool.number(point.group)]
                    for point in one.points
                ],
            }
            for one in chart.series
        ],
    }


def _heat_map(chart: HeatMap) -> dict[str, Any]:
    return {
        "x": _axis(chart.x),
        "y": _axis(chart.y),
        "xs": chart.xs,
        "values": chart.values,
        "value": _axis(chart.value),
        "low": chart.low,
        "high": chart.high,
        "marked": chart.marked,
    }


def _parallel(chart: Parallel, pool: Pool) -> dict[str, Any]:
    """Ways as lists: values, text, numbers of command and group, series and colour."""
    return {
        "axes": [_axis(axis) for axis in chart.axes],
        "ways": [
            [way.values, way.text, pool.number(way.command), pool.number(way.group), way.series, way.colour] for way in chart.ways
        ],
    }
