"""What searches evaluated as charts: each point where its score says, in percent and MiB."""

from __future__ import annotations

import numpy as np
import pytest

from nas.charts.chart import Chart
from nas.charts.pareto import AXES, pareto_charts
from nas.objectives import OBJECTIVES
from nas.problem import Score
from nas.searches import Evaluated
from spaces.decoupling import UNCUT, Decoupling


def point(error: float, mebibytes: int, bound: float) -> Evaluated:
    return Evaluated(0, Decoupling.parse(UNCUT), Score(error, 0.0, mebibytes * 2**20, bound))


FRONT = [point(0.10, 8, 2.0), point(0.20, 6, 4.0), point(0.50, 2, 1.0)]
WORSE = [point(0.30, 9, 1.0), point(0.60, 4, 1.25)]


def places(chart: object, number: int) -> list[tuple[float, float]]:
    assert isinstance(chart, Chart)
    return [(one.x, one.y) for one in chart.series[number].points]


def test_every_objective_has_an_axis() -> None:
    assert set(AXES) == set(OBJECTIVES)


def test_two_objectives_are_a_chart_with_the_front_as_stairs() -> None:
    (chart,) = pareto_charts([*FRONT, *WORSE], FRONT, ("error", "peak_memory"))
    assert isinstance(chart, Chart) and [one.style for one in chart.series] == ["points", "front", "points"]
    np.testing.assert_allclose(places(chart, 2), [(8, 10), (6, 20), (2, 50)])
    np.testing.assert_allclose(places(chart, 0), [(8, 10), (6, 20), (2, 50), (9, 30), (4, 60)])
    np.testing.assert_allclose(places(chart, 1), [(2, 50), (6, 20), (8, 10)])
    assert (chart.x.unit, chart.y.title) == ("MiB", "validation error (%)")


def test_three_objectives_are_three_charts_each_with_the_front_of_its_pair() -> None:
    charts = pareto_charts([*FRONT, *WORSE], FRONT, ("error", "peak_memory", "pipeline"))
    assert [chart.name for chart in charts] == [
        "pareto_error_peak_memory",
        "pareto_error_pipeline",
        "pareto_peak_memory_pipeline",
    ]
    np.testing.assert_allclose(places(charts[1], 2), [(50, 10), (25, 20), (100, 50)])
    np.testing.assert_allclose(places(charts[1], 1), [(25, 20), (50, 10)])
    np.testing.assert_allclose(places(charts[2], 1), [(25, 6), (100, 2)])


@pytest.mark.parametrize("front", [FRONT[:1], FRONT])
def test_the_charts_count_what_they_show(front: list[Evaluated]) -> None:
    (chart,) = pareto_charts(FRONT, front, ("error", "peak_memory"))
    assert isinstance(chart, Chart)
    assert [one.name for one in chart.series] == ["evaluated (3)", "front of these two", f"Pareto front ({len(front)})"]
