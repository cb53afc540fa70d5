"""Charts drawn by matplotlib: what is on the figures, and files that are what their names say."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D

from nas.charts.chart import Axis, Chart, Drawable, HeatMap, Parallel, Point, Series, Way
from nas.charts.drawn.chart_panel import leaves_panel
from nas.charts.drawn.figure import draw
from nas.charts.exits import exit_charts
from nas.charts.palette import LIGHT
from nas.report.exit_lines import ExitLine
from nas.report.exit_lines import Points as ExitPoints

NAN = float("nan")
SERIES = Series("dgl", (Point(0.0, 10.0, 9.0, 11.0), Point(1.0, 12.0, 2.0, 60.0), Point(2.0, 9.0)), "line", 1, 3)
CHART = Chart("one", "one", "One", "About.", Axis("K", names=("1", "2", "4")), Axis("test error", "%"), (SERIES,))
HEAT = HeatMap(
    "heat", "heat", "Heat", "About.", Axis("step"), Axis("gap", names=("1", "2")), (1.0, 2.0), ((0.0, 1.0), (None, 0.5)),
    Axis("share"), 0.0, 1.0, (1,),
)  # fmt: skip
WAYS = tuple(Way((float(k), 1.0 * (k == 2), 30.0 - k), series=f"s{k}", colour=k, marker=k) for k in (1, 2, 3))
PARALLEL = Parallel("p", "p", "P", "About.", (Axis("K"), Axis("heads", names=("linear", "mlp")), Axis("error", "%")), WAYS)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What was saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def saving(figure: Figure, *given: Any, **named: Any) -> None:
        saved.append(figure)
        save(figure, *given, **named)

    monkeypatch.setattr(Figure, "savefig", saving)
    return saved


def without_arrows(panel: Axes) -> list[Line2D]:
    """The lines of a panel but for arrows, which alone lie on its edge."""
    return [line for line in panel.lines if line.get_clip_on()]


def test_points_lie_where_they_are_with_whiskers_that_do_not_press_the_means_together(figures, tmp_path) -> None:
    draw([CHART], tmp_path / "new folder" / "one.png")
    (panel,) = figures[0].axes
    line, *arrows = panel.lines
    np.testing.assert_allclose(line.get_xydata(), [(0, 10), (1, 12), (2, 9)])
    assert to_hex(line.get_color()) == LIGHT[1] and line.get_marker() == "^"
    (whiskers,) = panel.collections
    np.testing.assert_allclose([segment[:, 1] for segment in whiskers.get_segments()], [(9, 11), (2, 60)])
    low, high = panel.get_ylim()
    assert low < 9 and 12 < high < 20
    assert [(arrow.get_marker(), arrow.get_xydata().tolist()) for arrow in arrows] == [("v", [[1, low]]), ("^", [[1, high]])]
    assert {to_hex(arrow.get_color()) for arrow in arrows} == {LIGHT[1]} and not any(arrow.get_clip_on() for arrow in arrows)
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["1", "2", "4"]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("K", "test error (%)")
    assert imread(tmp_path / "new folder" / "one.png").std() > 0


def test_long_names_run_down_and_the_intervals_lie_across(figures, tmp_path) -> None:
    long = replace(CHART, x=Axis("line", names=tuple(f"a long method on {k},2:mlp_sr" for k in range(3))))
    draw([long], tmp_path / "one.png")
    (panel,) = figures[0].axes
    np.testing.assert_allclose(panel.lines[0].get_xydata(), [(10, 0), (12, 1), (9, 2)])
    assert panel.yaxis_inverted() and panel.get_xlabel() == "test error (%)" and not figures[0].legends
    low, high = panel.get_xlim()
    arrows = [(arrow.get_marker(), arrow.get_xydata().tolist()) for arrow in panel.lines[1:]]
    assert arrows == [("<", [[low, 1]]), (">", [[high, 1]])]


@pytest.mark.parametrize(("interval", "leaves"), [((11.0, 13.0), False), ((11.0, 60.0), True), ((2.0, 13.0), True)])
def test_an_arrow_stands_only_where_an_interval_leaves_the_panel(figures, tmp_path, interval, leaves) -> None:
    points = (Point(0.0, 10.0, 9.0, 11.0), Point(1.0, 12.0, *interval))
    chart = replace(CHART, series=(replace(SERIES, points=points),))
    draw([chart], tmp_path / "one.png")
    (panel,) = figures[0].axes
    low, high = panel.get_ylim()
    assert leaves_panel(chart) == leaves == (interval[0] < low or interval[1] > high) == (len(panel.lines) > 1)


def test_faint_series_and_fronts_are_lines_and_have_their_place_in_the_legend_or_none(figures, tmp_path) -> None:
    front = Series("front", (Point(0.0, 5.0), Point(2.0, 3.0)), "front", 6, 0)
    band = Series("mean", (Point(0.0, 5.0, 4.0, 6.0), Point(2.0, 3.0, 2.0, 4.0)), "band", 2, 2)
    draw([replace(CHART, series=(SERIES, front, band, replace(band, faint=True)))], tmp_path / "one.png")
    (panel,), (legend,) = figures[0].axes, figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["dgl", "front", "mean"]
    lines = without_arrows(panel)
    assert [line.get_drawstyle() for line in lines] == ["default", "steps-post", "default", "default"]
    assert [line.get_marker() for line in lines] == ["^", "none", "D", "none"]
    mean, faint = lines[0], lines[-1]
    assert faint.get_linewidth() < mean.get_linewidth()


def test_a_heat_map_has_a_cell_for_each_value_and_marks_its_rows(figures, tmp_path) -> None:
    draw([HEAT], tmp_path / "heat.png")
    panel, bar = figures[0].axes
    shown = panel.images[0].get_array()
    np.testing.assert_allclose(shown.filled(-1), [(0, 1), (-1, 0.5)])
    assert [tick.get_fontweight() for tick in panel.get_yticklabels()] == ["normal", "bold"]
    assert bar.get_ylabel() == "share"


def test_parallel_coordinates_cross_each_axis_at_its_value(figures, tmp_path) -> None:
    draw([PARALLEL], tmp_path / "p.png")
    (panel,) = figures[0].axes
    lines = {line.get_label(): line for line in panel.lines if str(line.get_label()).startswith("s")}
    np.testing.assert_allclose(lines["s1"].get_ydata(), [0, 0, 1])
    np.testing.assert_allclose(lines["s2"].get_ydata(), [0.5, 1, 0.5])
    assert lines["s3"].get_linewidth() > lines["s1"].get_linewidth()  # the lowest error


def test_an_axis_of_whole_numbers_has_whole_ticks(figures, tmp_path) -> None:
    ways = tuple(Way((blocks, error), series="s") for blocks, error in ((1.0, 10.5), (16.0, 20.0)))
    draw([replace(PARALLEL, axes=(Axis("K"), Axis("error", "%")), ways=ways)], tmp_path / "p.png")
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["1", "8", "16", "10.5", "15.2", "20"]


@pytest.mark.parametrize("chart", [CHART, HEAT, PARALLEL], ids=["chart", "heat", "parallel"])
@pytest.mark.parametrize("ending", ["svg", "pdf"])
def test_the_same_chart_is_the_same_file_with_its_fonts(chart: Drawable, ending: str, tmp_path: Path) -> None:
    one, other = tmp_path / f"one.{ending}", tmp_path / f"other.{ending}"
    draw([chart], one)
    draw([chart], other)
    assert one.read_bytes() == other.read_bytes()
    if ending == "pdf":
        assert b"/Type3" not in one.read_bytes() and b"/Subtype /Type0" in b"".join(_unpacked(one.read_bytes()))
    else:
        assert one.read_bytes().startswith(b"<?xml") and b"</svg>" in one.read_bytes()


def _unpacked(pdf: bytes) -> list[bytes]:
    """The whole, and the streams in it."""
    found = [pdf]
    for stream in re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(stream))
        except zlib.error:
            found.append(stream)
    return found


@pytest.mark.parametrize("label", ["own(a='$\\frac$')", "$x$", "one $", r"\$ and $"])
def test_a_name_is_no_formula(label: str, tmp_path: Path) -> None:
    names = Axis(label, names=(label, "b", "c"))
    draw([replace(CHART, x=names, series=(replace(SERIES, name=label), replace(SERIES, name="b")))], tmp_path / "one.svg")
    assert (tmp_path / "one.svg").stat().st_size


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "one.png").symlink_to(tmp_path / "mine.txt")
    draw([CHART], tmp_path / "one.png")
    assert (tmp_path / "mine.txt").read_text() == "mine" and not (tmp_path / "one.png").is_symlink()


STATIC = ExitPoints((1e4, 1e6), (1e-5, 1e-3), (30.0, 20.0), (2.0, 90.0))
ADAPTIVE = ExitPoints((1e4, 2e5), (2e-5, 3e-4), (30.0, 22.0), (NAN, NAN))


def test_exits_are_a_panel_for_each_cost_with_adaptive_inference_thin_in_the_same_colour(figures, tmp_path) -> None:
    draw(exit_charts([ExitLine("one", STATIC, ADAPTIVE), ExitLine("two", STATIC, None)]), tmp_path / "exits.png")
    of_macs, of_seconds = figures[0].axes
    assert (of_macs.get_xscale(), of_seconds.get_xscale()) == ("log", "log")
    for panel, of_static, of_adaptive in ((of_macs, (1e4, 1e6), (1e4, 2e5)), (of_seconds, (1e-5, 1e-3), (2e-5, 3e-4))):
        one, thin, two = without_arrows(panel)
        np.testing.assert_allclose(one.get_xydata(), list(zip(of_static, (30, 20), strict=True)))
        np.testing.assert_allclose(thin.get_xydata(), list(zip(of_adaptive, (30, 22), strict=True)))
        assert thin.get_color() == one.get_color() != two.get_color() and thin.get_linewidth() < one.get_linewidth()
        low, high = panel.get_ylim()
        assert 0 <= low < 20 and 30 < high <= 100 and high - low < 25
    (legend,) = figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "two"]


def test_a_cost_that_was_not_measured_has_no_chart() -> None:
    old = ExitPoints(STATIC.macs, (NAN, NAN), STATIC.errors, (NAN, NAN))
    (chart,) = exit_charts([ExitLine("old", old, None)])
    assert isinstance(chart, Chart) and "multiply-accumulates" in chart.x.title
    assert [point.low for point in chart.series[0].points] == [None, None]


def test_many_points_are_drawn_quickly_and_small(figures, tmp_path) -> None:
    many = replace(SERIES, points=tuple(Point(float(k), k % 7, 0.0, 9.0) for k in range(5000)), style="points")
    draw([replace(CHART, x=Axis("n"), series=(many,))], tmp_path / "one.svg")
    (line,) = figures[0].axes[0].lines
    assert line.get_rasterized() and line.get_markersize() < 3 and not figures[0].axes[0].collections
    assert (tmp_path / "one.svg").stat().st_size < 500_000
