"""Charts of seeds, exits, learning, searches and SEDONA: their numbers are those of the files, read here anew by csv."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy import stats

from nas.charts.chart import Chart, HeatMap, Parallel
from nas.charts.coordinates import decouplings
from nas.charts.exits import exits
from nas.charts.learning import exit_errors, stage_losses, validation_errors
from nas.charts.relaxation import alpha, beta, decisions
from nas.charts.results import Given, read_given
from nas.charts.seeds import seeds
from nas.charts.table import CHARTS, charts_of
from nas.charts.trajectories import asked_for, best_so_far
from spaces.notation.errors import UserError

RESULTS = Path(__file__).parents[3] / "results"


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def one(found: Sequence[Any], kind: type, name: str = "") -> Any:
    """The chart of this name, or the only one."""
    chosen = [chart for chart in found if not name or chart.name == name]
    assert len(chosen) == 1 and isinstance(chosen[0], kind), [chart.name for chart in found]
    return chosen[0]


# ---- seeds and parallel coordinates


def test_every_run_is_a_point_beside_its_mean() -> None:
    chart = one(seeds(read_given([RESULTS / "digits"])), Chart)
    errors = sorted(100 * float(row["test_error"]) for row in rows_of(RESULTS / "digits" / "evaluate.csv"))
    runs = [point for series in chart.series if series.faint for point in series.points]
    means = [point for series in chart.series if not series.faint for point in series.points]
    assert sorted(point.y for point in runs) == pytest.approx(errors) and len(means) == len(chart.x.names) == 7
    for mean in means:
        own = [point.y for point in runs if point.group == mean.group]
        assert mean.y == pytest.approx(fmean(own)) and {round(point.x) for point in runs if point.group == mean.group} == {
            round(mean.x)
        }
    assert [mean.y for mean in sorted(means, key=lambda point: point.x)] == sorted(mean.y for mean in means)


def test_ways_cross_their_axes_at_the_costs_of_the_row() -> None:
    chart = one(decouplings(read_given([RESULTS / "digits"])), Parallel)
    assert [axis.title for axis in chart.axes][:3] == ["K", "first cut (units before)", "last cut (units before)"]
    row = next(row for row in rows_of(RESULTS / "digits" / "evaluate.csv") if row["decoupling"] == "2:mlp_sr 4:mlp_sr")
    (way,) = [way for way in chart.ways if way.group.startswith(f"{row['method']} | {row['decoupling']} |")]
    macs = (int(row["macs"]) + int(row["head_macs"])) / 1e6
    heads = chart.axes[3].names.index("mlp_sr")
    assert way.values[:6] == pytest.approx((3, 2, 4, heads, int(row["peak_activation_bytes"]) / 2**20, macs))
    (uncut,) = [way for way in chart.ways if way.values[0] == 1]
    assert uncut.values[1:3] == (None, None) and chart.axes[3].names[int(uncut.values[3] or 0)] == "none"


# ---- exits


def test_exits_are_means_over_seeds_of_each_depth() -> None:
    found = exits(read_given([RESULTS / "adaptive" / "cifar10"]))
    assert [chart.name for chart in found] == ["exits_macs", "exits_seconds"]
    rows = [row for row in rows_of(RESULTS / "adaptive" / "cifar10" / "exits.csv") if row["method"].startswith("early_exit")]
    for chart, cost in zip(found, ("macs", "seconds"), strict=True):
        assert isinstance(chart, Chart)
        (series,) = [one for one in chart.series if one.name.startswith("early_exit") and not one.faint]
        for point, depth in zip(series.points, ("1", "2", "3", "4"), strict=True):
            own = [row for row in rows if row["depth"] == depth]
            errors = [100 * float(row["test_error"]) for row in own]
            half = stats.t.ppf(0.975, len(own) - 1) * stdev(errors) / len(own) ** 0.5
            assert (point.x, point.y) == pytest.approx((fmean(float(row[cost]) for row in own), fmean(errors)))
            assert (point.low, point.high) == pytest.approx((fmean(errors) - half, fmean(errors) + half))
        assert any(one.faint and one.name == series.name for one in chart.series)


# ---- learning


def history(*runs: tuple[str, int, Sequence[float]], training: int = 1) -> list[dict[str, str]]:
    """Rows of (run, seed, validation errors), an epoch each."""
    common = {"method": "dgl(label_smoothing=0.1)", "decoupling": "2:mlp_sr", "task": "digits(validation=0.1)"}
    return [
        {**common, "run": run, "training": str(training), "seed": str(seed), "iteration": str(10 * epoch), "epoch": f"{epoch}.0",
         "validation_error": str(error), "validation_loss": "1.0", "stage_losses": f"{2 * error} {error}",
         "exit_errors": f"{error + 0.1} {error}", "scheduled_lr": "0.1"}
        for run, seed, errors in runs
        for epoch, error in enumerate(errors, start=1)
    ]  # fmt: skip


def test_learning_curves_are_means_over_seeds_with_bands_and_single_runs() -> None:
    given = Given(history=history(("a", 0, (0.5, 0.25)), ("b", 1, (0.3, 0.15))))
    chart = one(validation_errors(given), Chart)
    mean, *single = chart.series
    assert mean.style == "band" and [point.x for point in mean.points] == [1, 2]
    assert [point.y for point in mean.points] == pytest.approx([40, 20])
    half = stats.t.ppf(0.975, 1) * stdev([50, 30]) / 2**0.5
    assert (mean.points[0].low, mean.points[0].high) == pytest.approx((40 - half, 40 + half))
    assert [[point.y for point in run.points] for run in single] == [[50, 25], [30, 15]] and all(run.faint for run in single)


def test_of_a_run_that_was_trained_again_the_last_training_is_shown() -> None:
    rows = [*history(("a", 0, (0.5, 0.5)), training=9), *history(("a", 0, (0.4, 0.2)), training=10)]
    (curve,) = one(validation_errors(Given(history=rows)), Chart).series
    assert [point.y for point in curve.points] == pytest.approx([40, 20])


def test_exits_and_stages_have_a_curve_each() -> None:
    given = Given(history=history(("a", 0, (0.5, 0.25)), ("b", 1, (0.3, 0.15))))
    errors, losses = one(exit_errors(given), Chart), one(stage_losses(given), Chart)
    assert [series.name for series in errors.series] == ["exit 1", "exit 2"]
    assert [point.y for point in errors.series[0].points] == pytest.approx([50, 30])
    assert [point.y for point in losses.series[1].points] == pytest.approx([0.4, 0.2]) and losses.y.unit == "nats"


def test_a_single_epoch_is_no_curve() -> None:
    assert validation_errors(Given(history=history(("a", 0, (0.5,))))) == []


# ---- SEDONA


def test_alpha_and_beta_are_maps_of_all_gaps_and_steps() -> None:
    given = read_given([RESULTS / "digits"])
    rows = rows_of(RESULTS / "digits" / "alpha_beta.csv")
    cuts, heads = one(alpha(given), HeatMap), one(beta(given), HeatMap)
    assert cuts.y.names == ("1", "2", "3", "4", "5") and cuts.xs == tuple(range(1, 41))
    for row in rows[:: len(rows) // 7]:
        column = cuts.xs.index(float(row["meta_step"]))
        assert cuts.values[cuts.y.names.index(row["gap"])][column] == float(row["cut_share"])
        share = heads.values[heads.y.names.index(f"{row['gap']} conv(depth=2)")][column]
        assert share == float(row["share_conv(depth=2,reduction=4)"])


def test_a_map_of_heads_has_those_of_its_search_alone() -> None:
    heads = {chart.name: chart for chart in beta(read_given([RESULTS / "adaptive" / "search"]))}
    assert len(heads) > 1
    for chart in heads.values():
        assert isinstance(chart, HeatMap)
        assert all(any(value is not None for value in of_pair) for of_pair in chart.values), "a file has columns of all searches"


def test_what_was_decided_is_marked_and_a_chart_of_its_own() -> None:
    given = read_given([RESULTS / "texts_search"])
    rows = rows_of(RESULTS / "texts_search" / "decisions.csv")
    for chart in alpha(given):
        assert isinstance(chart, HeatMap)
        own = [row for row in rows if row["run"].startswith(chart.name.rpartition("-")[2])]
        most = max(int(row["num_blocks"]) for row in own)
        marked = [chart.y.names[place] for place in chart.marked]
        assert marked == [row["gap"] for row in own if int(row["num_blocks"]) == most] and marked
    points = [point for chart in decisions(given) for series in chart.series for point in series.points]  # type: ignore[union-attr]
    assert len(points) == len(rows) and "cut share" in points[0].text


# ---- searches


def trials(strategy: str, seed: int, *errors: float, **more: Any) -> list[dict[str, str]]:
    return [
        {"search": f"{strategy}{seed}", "strategy": strategy, "seed": str(seed), "number": str(number), "task": "digits",
         "method": "dgl", "iterations": "100", "decoupling": f"{number}:linear", "validation_error": str(error), "status": "ok",
         "seconds": str(10.0 * number), "peak_activation_bytes": str(number * 2**20), "command": "run.py search",
         **{name: str(cells[number - 1]) for name, cells in more.items()}}
        for number, error in enumerate(errors, start=1)
    ]  # fmt: skip


def stairs(chart: Chart, name: str, *, faint: bool = False) -> list[tuple[float, float]]:
    (series,) = [series for series in chart.series if series.name == name and series.faint == faint]
    return [(point.x, round(point.y, 9)) for point in series.points]


def test_the_best_so_far_is_stairs_that_end_where_the_search_does() -> None:
    given = Given(trials=trials("random", 0, 0.5, 0.6, 0.25, 0.4))
    against_trainings, against_seconds = best_so_far(given)
    assert isinstance(against_trainings, Chart) and isinstance(against_seconds, Chart)
    assert stairs(against_trainings, "random") == [(1, 50), (3, 25), (4, 25)]
    assert stairs(against_seconds, "random") == [(10, 50), (30, 25), (40, 25)]


def test_of_several_seeds_the_mean_has_an_interval_and_each_is_behind_it() -> None:
    given = Given(trials=[*trials("random", 0, 0.5, 0.3), *trials("random", 1, 0.4, 0.4), *trials("tpe(x=1)", 0, 0.2, 0.1)])
    chart = best_so_far(given)[0]
    assert isinstance(chart, Chart)
    assert stairs(chart, "random") == [(1, 45), (2, 35)] and stairs(chart, "tpe") == [(1, 20), (2, 10)]
    mean = next(series for series in chart.series if series.name == "random" and series.style == "band")
    half = stats.t.ppf(0.975, 1) * stdev([50, 40]) / 2**0.5
    assert (mean.points[0].low, mean.points[0].high) == pytest.approx((45 - half, 45 + half))
    assert sum(series.faint for series in chart.series) == 2


def test_a_partial_training_costs_its_share_and_is_no_answer() -> None:
    given = Given(trials=trials("hyperband", 0, 0.1, 0.5, 0.4, fidelity=("0.25", "", ""), iterations_anew=(25, 75, 100)))
    assert stairs(best_so_far(given)[0], "hyperband") == [(1, 50), (2, 40)]  # type: ignore[arg-type]


def test_searches_of_two_tasks_are_two_charts() -> None:
    other: list[Mapping[str, str]] = [row | {"task": "cifar10(crop=2)"} for row in trials("random", 0, 0.5, 0.4)]
    found = best_so_far(Given(trials=[*trials("random", 0, 0.5, 0.4), *other]))
    assert {chart.name for chart in found} == {
        f"search_{cost}-{task}" for cost in ("trainings", "seconds") for task in ("digits", "cifar10")
    }


def test_searches_of_two_spaces_are_told_apart_by_what_may_be_searched() -> None:
    """In words; the files keep the names that they had of the spaces as rows have them."""
    spaces = [f"space(backbone='vgg11(width=1.0)',heads=[linear],num_blocks={k},gaps=[1,2,3,5],min_block=1)" for k in (2, 4)]
    rows: list[Mapping[str, str]] = [row | {"space": space} for space in spaces for row in trials("random", 0, 0.5, 0.4)]
    found = [chart for chart in best_so_far(Given(trials=rows)) if chart.name.startswith("search_trainings")]
    assert [chart.note for chart in found] == [f"space (gaps 1-3,5, heads linear, K {k})" for k in (2, 4)]
    assert [chart.name for chart in found] == ["search_trainings-space", "search_trainings-space-no2"]
    older = [*trials("random", 0, 0.5, 0.4, 0.3), *rows[2:]]
    assert {chart.note for chart in best_so_far(Given(trials=older))} == {"", "space (gaps 1-3,5, heads linear, K 4)"}


def test_what_was_asked_for_has_the_front_of_error_and_memory() -> None:
    chart = one(asked_for(Given(trials=trials("random", 0, 0.5, 0.6, 0.25, 0.4))), Chart)
    front, asked = chart.series
    assert [(point.x, point.y) for point in front.points] == [(1, 50), (3, 25)] and len(asked.points) == 4


def test_older_results_have_rows_of_searches_alone() -> None:
    rows = [row for row in rows_of(RESULTS / "digits" / "search.csv") if row["strategy"].startswith("random")]
    groups = defaultdict(list)
    for row in rows:
        groups[row["space"], row["iterations"]].append(float(row["validation_error"]))
    best = {round(100 * min(errors), 9) for errors in groups.values()}
    charts = [chart for chart in best_so_far(read_given([RESULTS / "digits"])) if chart.name.startswith("search_trainings")]
    ends = {round(series.points[-1].y, 9) for chart in charts for series in chart.series if series.name.startswith("random")}  # type: ignore[union-attr]
    assert ends == best


# ---- the table


def test_every_kind_is_empty_where_there_are_no_rows() -> None:
    assert charts_of(Given()) == []


@pytest.mark.parametrize("folder", ["digits", "texts_search", "texts", "adaptive/cifar10", "al_images"])
def test_names_are_the_charts_own_and_kinds_those_of_the_table(folder: str) -> None:
    found = charts_of(read_given([RESULTS / folder]))
    names = [chart.name for chart in found]
    assert names and len(set(names)) == len(names) and {chart.kind for chart in found} <= set(CHARTS)
    assert all(chart.about.endswith(".") and chart.title and "/" not in chart.name for chart in found)


def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match="unknown chart 'exit'; did you mean exits"):
        charts_of(Given(), ["exit"])
