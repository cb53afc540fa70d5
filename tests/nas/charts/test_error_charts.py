"""Errors as charts: the numbers are those of the files, read here anew by csv and statistics."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

import pytest
from scipy import stats

from nas.charts.chart import Chart
from nas.charts.errors import error_against_blocks, error_against_memory, error_against_seconds
from nas.charts.results import read_given

RESULTS = Path(__file__).parents[3] / "results"


def lines_of(path: Path) -> dict[tuple[str, str, str], list[dict[str, str]]]:
    """The rows of each method, decoupling and way of keeping activations."""
    lines = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            lines[row["method"], row["decoupling"], row["checkpoint_units"]].append(row)
    return lines


@pytest.mark.parametrize("folder", ["converged", "decouplings", "digits", "cifar10_resnet32"])
def test_points_are_means_and_intervals_of_the_rows(folder: str) -> None:
    (chart,) = error_against_memory(read_given([RESULTS / folder]))
    assert isinstance(chart, Chart)
    front, *series = chart.series
    points = {point.group: point for one in series for point in one.points}
    lines = lines_of(RESULTS / folder / "evaluate.csv")
    assert len(points) == len(lines)
    for (method, decoupling, kept), rows in lines.items():
        (point,) = [
            point for key, point in points.items() if key.startswith(f"{method} | {decoupling} |") and f"| {kept} |" in key
        ]
        errors = [100 * float(row["test_error"]) for row in rows]
        assert point.x == pytest.approx(int(rows[0]["peak_activation_bytes"]) / 2**20)
        assert point.y == pytest.approx(fmean(errors))
        if len(errors) == 1:
            assert point.low is None and point.high is None
        else:
            half = stats.t.ppf(0.975, len(errors) - 1) * stdev(errors) / len(errors) ** 0.5
            assert (point.low, point.high) == pytest.approx((fmean(errors) - half, fmean(errors) + half))
        assert point.command == rows[0]["command"]
    every = list(points.values())
    assert [p.group for p in front.points] == [
        p.group
        for p in sorted(every, key=lambda p: (p.x, p.y))
        if not any((q.x, q.y) != (p.x, p.y) and q.x <= p.x and q.y <= p.y for q in every)
    ]


def test_a_k_is_a_place_with_its_series_side_by_side() -> None:
    (chart,) = error_against_blocks(read_given([RESULTS / "converged"]))
    assert isinstance(chart, Chart) and chart.x.names == ("1", "2", "4")
    for series in chart.series:
        for point in series.points:
            assert f"K = {chart.x.names[round(point.x)]}," in point.text
    at_four = [point.x for series in chart.series for point in series.points if round(point.x) == 2]
    assert len(set(at_four)) == len(at_four) and max(at_four) - min(at_four) < 0.7


def test_seconds_are_those_of_a_step_times_the_steps() -> None:
    (chart,) = error_against_seconds(read_given([RESULTS / "converged"]))
    lines = lines_of(RESULTS / "converged" / "evaluate.csv")
    rows = next(rows for (method, _, _), rows in lines.items() if method.startswith("backprop"))
    (point,) = next(series for series in chart.series if series.name == "backprop").points
    assert point.x == pytest.approx(sorted(float(row["step_seconds"]) for row in rows)[1] * 5265)


def test_a_name_looks_the_same_in_all_charts() -> None:
    given = read_given([RESULTS / "cifar10_resnet32"])
    looks = [
        {series.name: (series.colour, series.marker) for series in chart.series if series.style != "front"}
        for chart in (*error_against_blocks(given), *error_against_memory(given))
        if isinstance(chart, Chart)
    ]
    assert looks[0] == looks[1] and len(set(looks[0].values())) == len(looks[0]) > 8
