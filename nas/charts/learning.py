"""Learning curves: what history.csv has of each validation while runs trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nas.charts.chart import Axis, Chart, Drawable, Point, Series
from nas.charts.look import look
from nas.charts.results import Given, Row
from nas.charts.words import interval_text, named, seeds_text, shown_best
from nas.report.fair_tables import file_names, told_apart
from nas.report.interval import half_interval
from nas.report.short_names import short_decoupling

EPOCHS = Axis("passes over the training split", "epochs")
MOST = 12  # lines of a chart of validation errors
MOST_LINES = 6  # lines that have a chart of exits and one of stages
BAND = "The shade is the 95 % interval of the mean over seeds, thin lines are single runs."


@dataclass(frozen=True)
class Curves:
    """The runs of a method on a decoupling: the rows of the last training of each, oldest first, by seed."""

    label: str
    key: str
    command: str
    task: str
    runs: tuple[tuple[Row, ...], ...]

    @property
    def last(self) -> float:
        """The mean of the lowest validation errors, by which lines are put in order."""
        return sum(min(float(row["validation_error"]) for row in rows) for rows in self.runs) / len(self.runs)


def validation_errors(given: Given) -> list[Drawable]:
    """The validation error over the epochs: a line a method and decoupling, the mean over seeds."""
    charts: list[Drawable] = []
    for name, title, lines in _groups(given):
        best = sorted(lines, key=lambda line: line.last)[:MOST]
        series = [
            one
            for number, line in enumerate(best)
            for one in _series(line, line.label, look(number).colour, look(number).marker, _error)
        ]
        if not _are_curves(series):
            continue
        charts.append(
            Chart(
                named("learning", name),
                "learning",
                "Learning curves",
                f"Validation error after each epoch.{shown_best(len(best), len(lines), 'lines')} {BAND}",
                EPOCHS,
                Axis("validation error", "%"),
                tuple(series),
                note=title,
            )
        )
    return charts


def exit_errors(given: Given) -> list[Drawable]:
    """The validation error of each exit over the epochs, a chart a method and decoupling."""
    return _numbered(
        given,
        "exit_errors",
        "Exits while training",
        "Validation error of each exit, the end of a block, after each epoch",
        Axis("validation error", "%"),
        "exit",
        100.0,
    )


def stage_losses(given: Given) -> list[Drawable]:
    """The training loss of each stage over the epochs, a chart a method and decoupling."""
    return _numbered(
        given,
        "stage_losses",
        "Losses of stages",
        "Mean training loss of each stage since the epoch before",
        Axis("loss", "nats"),
        "stage",
        1.0,
    )


def _numbered(given: Given, column: str, title: str, about: str, y: Axis, what: str, times: float) -> list[Drawable]:
    charts: list[Drawable] = []
    for name, group_title, lines in _groups(given):
        best = sorted(lines, key=lambda line: line.last)[:MOST_LINES]
        for place, line in enumerate(best):
            count = max((len((row.get(column) or "").split()) for rows in line.runs for row in rows), default=0)
            series = [
                one
                for number in range(count)
                for one in _series(
                    line,
                    f"{what} {number + 1}",
                    look(number).colour,
                    look(number).marker,
                    _number(column, number, times),
                    thin=False,
                )
            ]
            if _are_curves(series):
                charts.append(
                    Chart(
                        named(column, name, str(place + 1) if len(best) > 1 else ""),
                        column,
                        f"{title}: {line.label}",
                        f"{about}, of {line.label}. The shade is the 95 % interval of the mean over "
                        f"{seeds_text(len(line.runs))}.",
                        EPOCHS,
                        y,
                        tuple(series),
                        note=group_title,
                    )
                )
    return charts


def _groups(given: Given) -> list[tuple[str, str, list[Curves]]]:
    """The lines of each task, with a name and a title that tell it from others."""
    trainings: dict[str, dict[str, list[Row]]] = {}
    for row in given.history:
        trainings.setdefault(row["run"], {}).setdefault(row["training"], []).append(row)
    of_lines: dict[tuple[str, str, str], dict[str, tuple[Row, ...]]] = {}
    for run, of_run in trainings.items():
        rows = sorted(of_run[max(of_run, key=int)], key=lambda row: int(row["iteration"]))
        first = rows[0]
        settings = given.runs.get(run, {})
        key = given.keys.get(run) or " | ".join(
            (first["method"], first["decoupling"], *(settings.get(name, "") for name in APART))
        )
        of_lines.setdefault((first["task"], key, settings.get("iterations", "")), {})[f"{first['seed']} {run}"] = tuple(rows)
    groups: dict[tuple[str, str], list[Curves]] = {}
    for (task, key, iterations), runs in of_lines.items():
        first = next(iter(runs.values()))[0]
        label = f"{given.short_methods[first['method']]} {short_decoupling(first['decoupling'])}"
        command = given.runs.get(first["run"], {}).get("command", "")
        groups.setdefault((task, iterations), []).append(Curves(label, key, command, task, tuple(runs.values())))
    titles = told_apart([{"task": task, "iterations": iterations} for task, iterations in groups])
    named_groups = zip(file_names(titles), titles, groups.values(), strict=True)
    return [(name, title, _told_apart(lines)) for name, title, lines in named_groups]


APART = ("iterations", "lr", "batch_size")


def _told_apart(lines: Sequence[Curves]) -> list[Curves]:
    """Lines of the same label, which differ in settings, numbered."""
    labels = [line.label for line in lines]
    told = []
    for place, line in enumerate(lines):
        number = labels[: place + 1].count(line.label)
        label = line.label if labels.count(line.label) == 1 else f"{line.label} ({number})"
        told.append(Curves(label, line.key, line.command, line.task, line.runs))
    return told


def _are_curves(series: Sequence[Series]) -> bool:
    """Whether there is more than a point somewhere."""
    return any(len(one.points) > 1 for one in series)


def _error(row: Row) -> float | None:
    return 100 * float(row["validation_error"])


def _number(column: str, number: int, times: float) -> Callable[[Row], float | None]:
    def value(row: Row) -> float | None:
        numbers = (row.get(column) or "").split()
        found = times * float(numbers[number]) if number < len(numbers) else math.nan
        return found if math.isfinite(found) else None

    return value


def _series(
    line: Curves, name: str, colour: int, marker: int, value: Callable[[Row], float | None], *, thin: bool = True
) -> Iterable[Series]:
    """The mean over the runs that have an epoch, and where there are several each of them behind it."""
    curves = [[(float(row["epoch"]), y) for row in rows if (y := value(row)) is not None] for rows in line.runs]
    at: dict[float, list[float]] = {}
    for curve in curves:
        for x, y in curve:
            at.setdefault(x, []).append(y)
    if not at:
        return
    points = []
    for x, values in sorted(at.items()):
        mean, half = sum(values) / len(values), half_interval(values)
        text = f"{line.label}\n{name}\nepoch {x:g}: {interval_text(mean, half)}\n{seeds_text(len(values))}"
        low, high = (None, None) if half is None else (mean - half, mean + half)
        points.append(Point(x, mean, low, high, text, line.command, line.key))
    yield Series(name, tuple(points), "band", colour, marker)
    if thin and len(curves) > 1:
        for number, curve in enumerate(curves):
            seed = line.runs[number][0]["seed"]
            single = tuple(
                Point(x, y, text=f"{line.label}\nseed {seed}\nepoch {x:g}: {y:.2f}", command=line.command, group=line.key)
                for x, y in curve
            )
            yield Series(name, single, "line", colour, marker, faint=True)
