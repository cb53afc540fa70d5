"""Searches: the best so far against trainings and against seconds, and what was asked for against its memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nas.charts.chart import Axis, Chart, Drawable, Point, Series
from nas.charts.errors import front_series
from nas.charts.look import looks
from nas.charts.results import Given, Row
from nas.charts.words import interval_text, named, seeds_text
from nas.records.columns import COLUMNS
from nas.records.partial import is_partial
from nas.report.fair_tables import file_names, told_apart
from nas.report.interval import half_interval
from nas.report.short_names import short_among, short_decoupling, short_space

SAME = ("backbone", "task", "space", "method", "iterations", "batch_size", "precision", "scale", "evaluator", "objectives")
PLACES = 60  # at which several seeds are averaged
ERROR = Axis("best validation error so far", "%")


@dataclass(frozen=True)
class Asked:
    """A trial of a search: what had been spent when it was told, in whole trainings and in seconds, None where that is not known,
    and its error in percent, None of a partial training, which is no answer."""

    trainings: float
    seconds: float | None
    error: float | None
    row: Row


@dataclass(frozen=True)
class Trajectory:
    """One search with one seed; `strategy` is its short name."""

    strategy: str
    seed: str
    trials: tuple[Asked, ...]

    def best(self, cost: str) -> list[tuple[float, float, Row]]:
        """Where a better one came: what had been spent, its error, its row."""
        steps: list[tuple[float, float, Row]] = []
        for trial in self.trials:
            spent = getattr(trial, cost)
            if spent is not None and trial.error is not None and (not steps or trial.error < steps[-1][1]):
                steps.append((spent, trial.error, trial.row))
        return steps

    def spent(self, cost: str) -> float:
        """In the end."""
        return max(getattr(trial, cost) or 0.0 for trial in self.trials)


def best_so_far(given: Given) -> list[Drawable]:
    """The best validation error so far of each strategy, against trainings and against seconds, the mean over seeds."""
    charts: list[Drawable] = []
    costs = {
        "trainings": Axis("whole trainings"),
        "seconds": Axis("time since the search began" if given.trials else "time of trainings", "s", log=True),
    }
    for name, title, searches in _groups(given):
        for cost, axis in costs.items():
            if all(one.best(cost) for one in searches) and (series := _series(searches, cost, axis)):
                charts.append(
                    Chart(
                        named(f"search_{cost}", name),
                        "search",
                        f"Best so far against {axis.label}",
                        f"The lowest validation error that each strategy had found by then, against {axis.label}. The shade is "
                        "the 95 % interval of the mean over seeds, thin stairs are single searches; a partial training counts as "
                        "the share of a whole one, and is no answer.",
                        axis,
                        ERROR,
                        series,
                        note=title,
                    )
                )
    return charts


def asked_for(given: Given) -> list[Drawable]:
    """What searches asked for: validation error against the peak of activations, with the Pareto front."""
    memory = COLUMNS["peak_activation_bytes"]
    charts: list[Drawable] = []
    for name, title, searches in _groups(given):
        colours = looks(dict.fromkeys(one.strategy for one in searches))
        of_strategies: dict[str, list[Point]] = {}
        for one in searches:
            for trial in one.trials:
                if trial.error is None or not trial.row.get("peak_activation_bytes"):
                    continue
                x = float(trial.row["peak_activation_bytes"]) / memory.shown.over
                costs = f"validation error {trial.error:.2f} %\npeak {x:.1f} {memory.shown.unit}"
                text = f"{one.strategy}, seed {one.seed}\n{short_decoupling(trial.row['decoupling'])}\n{costs}"
                of_strategies.setdefault(one.strategy, []).append(
                    Point(x, trial.error, text=text, command=trial.row.get("command", ""))
                )
        points = tuple(point for own in of_strategies.values() for point in own)
        if len({(point.x, point.y) for point in points}) < 3:
            continue
        series = [
            Series(strategy, tuple(own), "points", colours[strategy].colour, colours[strategy].marker)
            for strategy, own in of_strategies.items()
        ]
        charts.append(
            Chart(
                named("search_memory", name),
                "search_memory",
                "What searches asked for",
                "Validation error of every decoupling that a search had trained whole, against the peak of activations in one "
                "training step. The stairs are the Pareto front.",
                Axis(memory.label, memory.shown.unit, log=True),
                Axis("validation error", "%"),
                (front_series(points), *series),
                note=title,
            )
        )
    return charts


def _groups(given: Given) -> list[tuple[str, str, list[Trajectory]]]:
    """The searches that compare, with a name and a title that tell them from others."""
    asked: dict[tuple[str, ...], dict[tuple[str, str], list[Row]]] = {}
    for row, search in _asked(given):
        own = asked.setdefault(tuple(row.get(column) or "" for column in SAME), {})
        own.setdefault((row.get("strategy") or "search", f"{row['seed']} {search}"), []).append(row)
    names = short_among(dict.fromkeys(strategy for own in asked.values() for strategy, _ in own))
    groups = {
        same: [
            Trajectory(names[strategy], seed.partition(" ")[0], tuple(_trials(rows)))
            for (strategy, seed), rows in own.items()
            if any(not is_partial(row) for row in rows)
        ]
        for same, own in asked.items()
    }
    groups = {same: own for same, own in groups.items() if own and max(len(one.trials) for one in own) > 1}
    alike = [dict(zip(SAME, same, strict=True)) for same in groups]
    titles = told_apart([one | {"space": one["space"] and f"({short_space(one['space'])})"} for one in alike])
    return list(zip(file_names(told_apart(alike)), titles, groups.values(), strict=True))


def _asked(given: Given) -> Iterable[tuple[Row, str]]:
    """The trials of trials.csv with their search; of an older version, which had none, the rows of search.csv in their order, one
    search a strategy and seed."""
    if given.trials:
        for row in sorted(given.trials, key=lambda row: int(row["number"])):
            yield row, row["search"]
        return
    for row in given.search:
        if row.get("strategy") and not row["strategy"].startswith("tune"):
            yield row, ""


def _trials(rows: Sequence[Row]) -> Iterable[Asked]:
    spent, seconds = 0.0, 0.0
    for row in rows:
        iterations, anew = float(row["iterations"] or 0), row.get("iterations_anew")
        spent += float(anew) / iterations if anew and iterations else 1.0
        if "number" not in row:
            seconds += iterations * float(row.get("step_seconds") or 0)
        error = None if is_partial(row) else 100 * float(row["validation_error"])
        yield Asked(spent, float(row["seconds"]) if row.get("seconds") else seconds or None, error, row)


def _series(searches: Sequence[Trajectory], cost: str, axis: Axis) -> tuple[Series, ...]:
    of_strategies: dict[str, list[Trajectory]] = {}
    for one in searches:
        of_strategies.setdefault(one.strategy, []).append(one)
    series: list[Series] = []
    for strategy, own in of_strategies.items():
        colour = looks(of_strategies)[strategy]
        singles = [_stairs(one, cost, axis) for one in own]
        if len(own) == 1:
            series.append(Series(strategy, singles[0], "steps", colour.colour, colour.marker))
            continue
        series.append(Series(strategy, _mean(own, cost, axis), "band", colour.colour, colour.marker))
        series += [Series(strategy, single, "steps", colour.colour, colour.marker, faint=True) for single in singles]
    return tuple(series)


def _stairs(one: Trajectory, cost: str, axis: Axis) -> tuple[Point, ...]:
    """Each better answer, and the last of them at the end."""
    points = [
        Point(
            spent,
            error,
            text=f"{one.strategy}, seed {one.seed}\n{short_decoupling(row['decoupling'])}\nvalidation error {error:.2f} %\n"
            f"{axis.label} {spent:.4g} {axis.unit}".rstrip(),
            command=row.get("command", ""),
        )
        for spent, error, row in one.best(cost)
    ]
    end = one.spent(cost)
    if end > points[-1].x:
        points.append(Point(end, points[-1].y, text=points[-1].text, command=points[-1].command))
    return tuple(points)


def _mean(searches: Sequence[Trajectory], cost: str, axis: Axis) -> tuple[Point, ...]:
    """The mean of the stairs over seeds, from where all have an answer to where the first ends."""
    stairs = [one.best(cost) for one in searches]
    places = sorted({spent for own in stairs for spent, _, _ in own} | {one.spent(cost) for one in searches})
    start, end = max(own[0][0] for own in stairs), min(one.spent(cost) for one in searches)
    places = [place for place in places if start <= place <= end] or [start]
    if len(places) > PLACES:
        places = [places[round(number * (len(places) - 1) / (PLACES - 1))] for number in range(PLACES)]
    points = []
    for place in places:
        values = [own[bisect_right([spent for spent, _, _ in own], place) - 1][1] for own in stairs]
        mean, half = sum(values) / len(values), half_interval(values)
        text = (
            f"{searches[0].strategy}\n{axis.label} {place:.4g} {axis.unit}".rstrip()
            + f"\nvalidation error {interval_text(mean, half)} %\n{seeds_text(len(values))}"
        )
        low, high = (None, None) if half is None else (mean - half, mean + half)
        points.append(Point(place, mean, low, high, text, searches[0].trials[0].row.get("command", "")))
    return tuple(points)
