"""Partial trainings: stopped after a share of the iterations, continued to the bit, and in no table."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.evaluation import run_training
from nas.evaluation.evaluator import Evaluator
from nas.problem import Problem
from nas.records.attempts import standing_rows
from nas.runs.folders import run_folders
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem

FIGURES = ("run", "status", "weights_digest", "validation_error", "validation_loss", "train_loss", "best_iteration")


@pytest.fixture(autouse=True)
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the stages' steps were timed, which takes seconds."""
    times: list[int] = []
    monkeypatch.setattr(run_training, "timed", lambda costs, *given, **named: (times.append(1), costs)[1])
    return times


def of_folder(folder: Path) -> Evaluator:
    return make(make_problem(folder), test=False)


@pytest.fixture
def undisturbed(tmp_path: Path) -> Evaluator:
    """One that has trained the run as a whole."""
    made = of_folder(tmp_path / "undisturbed")
    made(POINT)
    return made


def figures(row: dict[str, str] | None) -> dict[str, str]:
    """What came out, without what takes time and where it was."""
    assert row is not None
    return {name: row[name] for name in FIGURES}


def history(made: Evaluator) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in made.history.rows()]


@pytest.mark.parametrize("fidelities", [(0.25, 1.0), (1 / 8, 0.5, 0.75, 1.0)])
def test_a_training_in_parts_is_the_whole_one_to_the_bit(
    undisturbed: Evaluator, tmp_path: Path, timed: list[int], fidelities: tuple[float, ...]
) -> None:
    made = of_folder(tmp_path)
    timed.clear()
    for fidelity in fidelities:
        made(POINT, fidelity)
    assert figures(made.recorded(POINT)) == figures(undisturbed.recorded(POINT))
    assert history(made) == history(undisturbed)
    rows = made.log.rows()
    assert [row["iterations_trained"] for row in rows] == [*(str(round(8 * part)) for part in fidelities[:-1]), ""]
    assert len({row["run"] for row in rows}) == 1 and {row["iterations"] for row in rows} == {"8"}
    assert standing_rows(rows) == rows[-1:]
    assert not made.run_folder(POINT).exists()
    assert "iterations_trained" not in undisturbed.log.rows()[0]
    assert len(timed) == 1


def test_what_is_there_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = of_folder(tmp_path)
    first = made(POINT, 0.5)
    monkeypatch.setattr(run_training, "train", None)
    assert of_folder(tmp_path)(POINT, 0.5) == first


def test_the_error_is_the_lowest_up_to_there(undisturbed: Evaluator, tmp_path: Path) -> None:
    """An epoch has three iterations."""
    made = of_folder(tmp_path)
    score = made(POINT, 0.75)
    epochs = [float(row["validation_error"]) for row in undisturbed.history.rows() if int(row["iteration"]) <= 6]
    assert len(epochs) == 2 and score.error == min(epochs)


@pytest.mark.parametrize("before", [0.75, 1.0])
def test_a_shorter_one_than_was_trained_is_trained_anew_and_takes_nothing_away(tmp_path: Path, before: float) -> None:
    made, other = of_folder(tmp_path / "one"), of_folder(tmp_path / "other")
    made(POINT, before)
    checkpoints = sorted(path.relative_to(tmp_path) for path in (tmp_path / "one" / "runs").rglob("checkpoint*"))
    assert made(POINT, 0.25) == other(POINT, 0.25)
    assert checkpoints == sorted(path.relative_to(tmp_path) for path in (tmp_path / "one" / "runs").rglob("checkpoint*"))
    assert len(checkpoints) == (before < 1) and len({(row["run"], row["iteration"]) for row in made.history.rows()}) == len(
        made.history.rows()
    )
    assert made(POINT).error == other(POINT).error
    assert figures(made.recorded(POINT)) == figures(other.recorded(POINT))


def test_it_is_an_unfinished_run_until_the_whole_one_is_there(tmp_path: Path) -> None:
    made = of_folder(tmp_path)
    problem: Problem = made.problem
    made(POINT, 0.5)
    (folder,) = run_folders(problem.runs, problem.results)
    assert (folder.state, folder.decoupling, folder.path) == ("unfinished", str(POINT), made.run_folder(POINT))
    made(POINT)
    assert run_folders(problem.runs, problem.results) == []


def test_one_that_tests_and_measures_does_neither_in_part(tmp_path: Path) -> None:
    made = make(make_problem(tmp_path), weights="required")
    made(POINT, 0.5)
    (row,) = made.log.rows()
    assert not row.get("test_error") and not row.get("test_digest") and made.is_done(POINT, 0.5)
    assert not made.is_done(POINT)


@pytest.mark.parametrize("fidelity", [0.0, -1.0, 1.5, float("nan")])
def test_a_fidelity_that_is_no_share_is_refused(tmp_path: Path, fidelity: float) -> None:
    with pytest.raises(UserError, match="above 0 and up to 1, got"):
        of_folder(tmp_path)(POINT, fidelity)
