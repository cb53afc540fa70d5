"""Every seed as a point, beside the mean and its interval."""

from __future__ import annotations

import math

from nas.charts.chart import Axis, Chart, Drawable, Point, Series
from nas.charts.errors import ERROR, line_point
from nas.charts.results import Given
from nas.charts.words import by_label, named, shown_best
from nas.report.fair_tables import ShownLine
from nas.report.short_names import short_decoupling

MOST = 40  # lines of a chart
ASIDE = 0.18  # of the room of a line, the mean from its place, to the one side, and seeds to the other


def seeds(given: Given) -> list[Drawable]:
    """The test error of each run: what a mean and its interval are made of."""
    charts: list[Drawable] = []
    for table in given.tables:
        if not any(line.line.n > 1 for line in table.lines):
            continue
        best = sorted(table.lines, key=lambda line: line.line.test_error)[:MOST]
        places = {line.key: place for place, line in enumerate(best)}
        series = []
        for label, lines in by_label(best).items():
            own = given.looks[label]
            means = tuple(line_point(line, places[line.key] + ASIDE) for line in lines)
            runs = tuple(point for line in lines for point in _runs(line, places[line.key] - ASIDE))
            series += [
                Series(label, means, "points", own.colour, own.marker),
                Series(label, runs, "points", own.colour, own.marker, True),
            ]
        charts.append(
            Chart(
                named("seeds", table.name),
                "seeds",
                "Seeds",
                "The test error of each run as a point, beside the mean over seeds with its 95 % interval, of the lowest mean "
                f"first.{shown_best(len(best), len(table.lines), 'lines')} A run that failed counts as 100 % wrong.",
                Axis(
                    "method and decoupling",
                    names=tuple(f"{line.label} {short_decoupling(line.line.decoupling)}" for line in best),
                ),
                ERROR,
                tuple(series),
                table.name,
                table.title,
            )
        )
    return charts


def _runs(line: ShownLine, x: float) -> list[Point]:
    points = []
    for row in line.rows:
        error = 100.0 if math.isnan(row["test_error"]) else 100 * row["test_error"]
        text = f"{line.label}\n{short_decoupling(line.line.decoupling)}\nseed {row['seed']}: {error:.2f} %"
        points.append(Point(x, error, text=text, command=str(row.get("command") or ""), group=line.key))
    return points
