"""The charts by name, in the order of a report."""

from __future__ import annotations

from collections.abc import Callable

from nas.charts.chart import Drawable
from nas.charts.errors import error_against_blocks, error_against_memory, error_against_seconds
from nas.charts.results import Given

CHARTS: dict[str, Callable[[Given], list[Drawable]]] = {
    "error_blocks": error_against_blocks,
    "error_memory": error_against_memory,
    "error_seconds": error_against_seconds,
}


def all_charts(given: Given) -> list[Drawable]:
    """Every chart that the results hold."""
    return [chart for make in CHARTS.values() for chart in make(given)]
