"""Figures by name: one file and one column each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nas.evaluation import figures
from nas.evaluation.figures import ALWAYS, ASKED, FIGURES, checked_figures
from nas.evaluation.figures.training_run import TrainingRun
from nas.records.columns import COLUMNS
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem


@contextmanager
def stages(run: TrainingRun, *, times: int = 1) -> Iterator[Callable[[], int]]:
    """A user's own figure."""
    yield lambda: times * run.method.num_stages


def test_each_file_is_a_figure_with_a_column() -> None:
    files = {path.stem for path in Path(figures.__file__).parent.glob("*.py")} - {"__init__", "training_run"}
    assert files == {*ALWAYS, *ASKED} == {*FIGURES} <= {*COLUMNS}


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (["energy"], "energy_joules"),
        (["parameters_trained"], "leave it out"),
        ([f"{__name__}.stages(times=1)", f"{__name__}.stages(times=2)"], "a second stages"),
        (["energy_joules(a=1)"], "no settings"),
    ],
)
def test_what_is_no_figure_of_its_own_is_refused(asked: list[str], refused: str) -> None:
    with pytest.raises(UserError, match=refused):
        checked_figures(asked)


def test_a_users_own_figure_is_a_column_of_its_name(tmp_path: Path) -> None:
    asked = checked_figures([f"{__name__}.stages(times=2)"])
    assert make(make_problem(tmp_path, figures=asked)).run(POINT)["stages"] == "6"
