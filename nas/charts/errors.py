"""Test error against the number of blocks and against what training costs: the lines of the fair tables as points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nas.charts.chart import Axis, Chart, Drawable, Point, Series
from nas.charts.front import front_of
from nas.charts.look import Look
from nas.charts.results import Given
from nas.charts.words import by_label, interval_text, line_text, named
from nas.records.columns import COLUMNS
from nas.report.fair_tables import ShownLine, Table

ERROR = Axis("test error", "%")
SIDE_BY_SIDE = 0.62  # of the room of a K, over which its series stand
INTERVALS = "Whiskers are 95 % intervals of the mean over seeds; a point without has one seed."


def error_against_blocks(given: Given) -> list[Drawable]:
    """Test error against K, the number of blocks that no gradient joins: a series a method."""
    return [_against_blocks(given, table) for table in given.tables if len(table.lines) > 1]


def _against_blocks(given: Given, table: Table) -> Chart:
    counts = sorted({line.line.num_blocks for line in table.lines})
    of_labels = by_label(table.lines)
    room = SIDE_BY_SIDE / max(len(of_labels), 1)
    series = []
    for number, (label, lines) in enumerate(of_labels.items()):
        aside = (number - (len(of_labels) - 1) / 2) * room
        points = tuple(line_point(line, counts.index(line.line.num_blocks) + aside) for line in lines)
        alone = len({line.line.num_blocks for line in lines}) == len(lines)
        own = given.looks[label]
        series.append(Series(label, points, "line" if alone and len(lines) > 1 else "points", own.colour, own.marker))
    return Chart(
        named("error_blocks", table.name),
        "error_blocks",
        "Test error against the number of blocks",
        f"Mean test error of each method against K, the number of blocks that no gradient joins. {INTERVALS}",
        Axis(f"blocks ({COLUMNS['num_blocks'].heading})", names=tuple(map(str, counts))),
        ERROR,
        tuple(series),
        table.name,
        table.title,
    )


def error_against_memory(given: Given) -> list[Drawable]:
    """Test error against the peak of activations in one training step, with the Pareto front."""
    memory = COLUMNS["peak_activation_bytes"]
    return _against_cost(
        given,
        "error_memory",
        "Test error against memory",
        "the peak of activations in one training step",
        Axis(memory.label, memory.shown.unit, log=True),
        lambda line: line.line.peak_activation_bytes / memory.shown.over,
    )


def error_against_seconds(given: Given) -> list[Drawable]:
    """Test error against the time of training, step seconds times iterations, with the Pareto front; only where rows were timed
    alike."""

    def seconds(line: ShownLine) -> float | None:
        step, iterations = line.line.step_seconds, line.rows[0]["iterations"]
        return step * float(iterations) if step is not None and iterations else None

    return _against_cost(
        given,
        "error_seconds",
        "Test error against time",
        "the time of training, the median of a step's seconds times the iterations, one stage after the other",
        Axis("time of training", "s", log=True),
        seconds,
    )


def _against_cost(
    given: Given, kind: str, title: str, what: str, x: Axis, cost: Callable[[ShownLine], float | None]
) -> list[Drawable]:
    charts: list[Drawable] = []
    for table in given.tables:
        points = {
            line.key: line_point(line, value, [f"{x.label} {value:.4g} {x.unit}"])
            for line in table.lines
            if (value := cost(line)) is not None and value > 0
        }
        if len(points) < 2:
            continue
        series = [
            Series(label, own, "points", given.looks[label].colour, given.looks[label].marker)
            for label, lines in by_label(table.lines).items()
            if (own := tuple(points[line.key] for line in lines if line.key in points))
        ]
        about = (
            f"Mean test error of each method and decoupling against {what}. The stairs are the Pareto front: whatever lies on "
            f"them is beaten in both by nothing else here. {INTERVALS}"
        )
        front = front_series(tuple(points.values()))
        charts.append(Chart(named(kind, table.name), kind, title, about, x, ERROR, (front, *series), table.name, table.title))
    return charts


def front_series(points: Sequence[Point], name: str = "Pareto front") -> Series:
    """The stairs of what no other point equals or beats in both."""
    front = front_of([(point.x, point.y) for point in points])
    return Series(name, tuple(points[position] for position in front), "front", FRONT.colour, FRONT.marker)


FRONT = Look(6, 0)  # grey, which stands behind all others


def line_point(line: ShownLine, x: float, more: Iterable[str] = ()) -> Point:
    """The point of a line of the fair table at this x; `more` is said of it besides."""
    own = line.line
    low, high = (None, None) if own.interval is None else (own.test_error - own.interval, own.test_error + own.interval)
    text = line_text(line, [f"test error {interval_text(own.test_error, own.interval)} %", *more])
    return Point(x, own.test_error, low, high, text, line.command, line.key)
