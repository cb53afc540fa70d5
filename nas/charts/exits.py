"""Exits: test error against what a sample costs, where all stop at one exit and where each leaves when it is sure."""

from __future__ import annotations

import math

from nas.charts.chart import Axis, Chart, Drawable, Point, Series
from nas.charts.look import look
from nas.charts.results import Given
from nas.charts.words import interval_text, named
from nas.records.columns import COLUMNS
from nas.report.exit_lines import RULE, ExitLine, Points, exit_lines
from nas.report.fair_tables import file_names, key_of, told_apart

COSTS = {"macs": Axis(COLUMNS["macs"].label, "MACs", log=True), "seconds": Axis(COLUMNS["seconds"].label, "s", log=True)}


def exits(given: Given) -> list[Drawable]:
    """Test error against MACs and against measured seconds of a sample, of each exit and of adaptive inference."""
    tasks = list(dict.fromkeys(row["task"] for row in given.exits))
    titles = told_apart([{"task": task} for task in tasks])
    charts: list[Drawable] = []
    for task, title, name in zip(tasks, titles, file_names(titles), strict=True):
        lines = exit_lines(given.exits, given.curves, task)
        charts += exit_charts(lines, name, title)
    return charts


def exit_charts(lines: list[ExitLine], name: str = "", note: str = "") -> list[Drawable]:
    """A chart for each cost that was measured."""
    charts: list[Drawable] = []
    for cost, axis in COSTS.items():
        if not any(math.isfinite(value) for line in lines for value in getattr(line.static, cost)):
            continue
        series = []
        for number, line in enumerate(lines):
            own = look(number)
            series.append(Series(line.label, _points(line, line.static, cost, axis), "line", own.colour, own.marker))
            if line.adaptive:
                leaving = _points(line, line.adaptive, cost, axis, ", leaving when sure")
                series.append(Series(line.label, leaving, "band", own.colour, own.marker, faint=True))
        adaptive = (
            f" Thin lines are adaptive inference, in which each sample leaves when its exit is sure ({RULE})."
            if any(line.adaptive for line in lines)
            else ""
        )
        charts.append(
            Chart(
                named(f"exits_{cost}", name),
                "exits",
                f"Exits: error against {axis.label}",
                "Mean test error of each exit over seeds, with its 95 % interval, against the "
                f"{axis.label} that stops there.{adaptive}",
                axis,
                Axis("test error", "%"),
                tuple(series),
                note=note,
            )
        )
    return charts


def _points(line: ExitLine, points: Points, cost: str, axis: Axis, what: str = "") -> tuple[Point, ...]:
    found = []
    for number, (x, y, half) in enumerate(zip(getattr(points, cost), points.errors, points.intervals, strict=True), start=1):
        if not math.isfinite(x):
            continue
        known = None if math.isnan(half) else half
        place = what or f", exit {number}"
        text = f"{line.label}{place}\ntest error {interval_text(y, known)} %\n{axis.label} {x:.4g} {axis.unit}"
        low, high = (None, None) if known is None else (y - known, y + known)
        first = line.rows[0] if line.rows else {}
        found.append(Point(x, y, low, high, text, first.get("command", ""), key_of(first) if first else ""))
    return tuple(found)
