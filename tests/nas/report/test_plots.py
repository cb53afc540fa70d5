"""Plots by what is drawn: each point where its score says, in percent and MiB, and a file that is a picture."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from nas.objectives import OBJECTIVES
from nas.problem import Score
from nas.report.exit_lines import ExitLine, Points
from nas.report.plots import AXES, exit_plot, pareto_plot
from nas.searches import Evaluated
from spaces.decoupling import UNCUT, Decoupling


def point(error, mebibytes, bound):
    return Evaluated(0, Decoupling.parse(UNCUT), Score(error, 0.0, mebibytes * 2**20, bound))


FRONT = [point(0.10, 8, 2.0), point(0.20, 6, 4.0), point(0.50, 2, 1.0)]
WORSE = [point(0.30, 9, 1.0), point(0.60, 4, 1.25)]


@pytest.fixture
def figures(monkeypatch):
    """What was saved."""
    saved, save = [], Figure.savefig

    def saving(figure, *given, **named):
        saved.append(figure)
        save(figure, *given, **named)

    monkeypatch.setattr(Figure, "savefig", saving)
    return saved


@pytest.fixture
def drawn(figures, tmp_path):
    """drawn(objectives): the panels of the figure that is saved, and the picture's pixels."""

    def panels(objectives):
        path = tmp_path / "new folder" / "pareto.png"
        pareto_plot([*FRONT, *WORSE], FRONT, objectives, path)
        return figures[-1].axes, imread(path)

    return panels


def test_every_objective_has_an_axis():
    assert set(AXES) == set(OBJECTIVES)


def test_two_objectives_are_a_panel_with_the_front_as_steps(drawn):
    (panel,), pixels = drawn(("error", "peak_memory"))
    grey, front = (collection.get_offsets().data for collection in panel.collections)
    np.testing.assert_allclose(front, [(8, 10), (6, 20), (2, 50)])
    np.testing.assert_allclose(grey, [(8, 10), (6, 20), (2, 50), (9, 30), (4, 60)])
    (line,) = panel.lines
    np.testing.assert_allclose(line.get_xydata(), [(2, 50), (6, 20), (8, 10)])
    assert line.get_drawstyle() == "steps-post"  # from a point to the right: as bad until the next is reached
    assert "MiB" in panel.get_xlabel() and "error (%)" in panel.get_ylabel()
    colours = pixels[..., :3].reshape(-1, 3)
    assert ((colours[:, 0] > 0.7) & (colours[:, 1:] < 0.3).all(1)).sum() > 100  # the front in red


def test_three_objectives_are_three_panels_each_with_the_front_of_its_pair(drawn):
    panels, pixels = drawn(("error", "peak_memory", "pipeline"))
    assert len(panels) == 3 and pixels.shape[1] > 3 * pixels.shape[0]
    assert ["MiB" in panel.get_xlabel() for panel in panels] == [True, False, False]
    assert ["error" in panel.get_ylabel() for panel in panels] == [True, True, False]
    np.testing.assert_allclose(panels[1].collections[1].get_offsets(), [(50, 10), (25, 20), (100, 50)])
    np.testing.assert_allclose(panels[1].lines[0].get_xydata(), [(25, 20), (50, 10)])
    np.testing.assert_allclose(panels[2].lines[0].get_xydata(), [(25, 6), (100, 2)])


NAN = float("nan")
STATIC = Points((1e4, 1e6), (1e-5, 1e-3), (30.0, 20.0), (2.0, 90.0))
ADAPTIVE = Points((1e4, 2e5), (2e-5, 3e-4), (30.0, 22.0), (NAN, NAN))


def test_exits_are_a_line_with_intervals_and_a_thin_one_of_the_same_colour(figures, tmp_path):
    exit_plot([ExitLine("one", STATIC, ADAPTIVE), ExitLine("two", STATIC, None)], tmp_path / "exits.png")
    of_macs, of_seconds = figures[0].axes
    assert (of_macs.get_xscale(), of_seconds.get_xscale()) == ("log", "log")
    for panel, of_static, of_adaptive in ((of_macs, (1e4, 1e6), (1e4, 2e5)), (of_seconds, (1e-5, 1e-3), (2e-5, 3e-4))):
        one, two = panel.containers
        np.testing.assert_allclose(one.lines[0].get_xydata(), list(zip(of_static, (30, 20), strict=True)))
        (thin,) = [line for line in panel.lines if line.get_linewidth() == 1 and len(line.get_xdata())]
        np.testing.assert_allclose(thin.get_xydata(), list(zip(of_adaptive, (30, 22), strict=True)))
        assert thin.get_color() == one.lines[0].get_color() != two.lines[0].get_color()
        (bars,) = one.lines[2]
        np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [(28, 32), (-70, 110)])
        low, high = panel.get_ylim()
        assert 0 <= low < 20 and 30 < high <= 100 and high - low < 20  # one long interval does not press the means together
    (legend,) = figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["thin: samples leave when sure (max_softmax)", "one", "two"]


def test_a_cost_that_was_not_measured_has_no_panel(figures, tmp_path):
    old = Points(STATIC.macs, (NAN, NAN), STATIC.errors, (NAN, NAN))
    exit_plot([ExitLine("old", old, None)], tmp_path / "exits.png")
    (panel,) = figures[0].axes
    assert "multiply-accumulates" in panel.get_xlabel() and imread(tmp_path / "exits.png").std() > 0


@pytest.mark.parametrize("label", ["own(a='$\\frac$')", "$x$", "one $", r"\$ and $"])
def test_a_label_is_no_formula(tmp_path, label):
    points = Points((1.0, 2.0), (1.0, 2.0), (50.0, 40.0), (1.0, 1.0))
    exit_plot([ExitLine(label, points, None)], tmp_path / "exits.png")
    assert (tmp_path / "exits.png").stat().st_size
