"""Trainings with schedules of their own are whole runs of so many iterations; the others are the beginning of one run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nas
from nas.evaluation import run_training
from nas.evaluation.by_fidelity import ByFidelity
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.tabular import Tabular
from nas.problem import Problem
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem

SEARCH: dict[str, Any] = {
    "space": "small(width=0.25,heads=[linear],num_blocks=[1,3])",
    "task": "digits(validation=0.4)",
    "iterations": 4,
    "progress": nas.problem.silent,
}
ETA_2 = "hyperband(trials=4,eta=2,min_fidelity=0.5,brackets=1"


@pytest.fixture(autouse=True)
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured seconds would be part of the scores."""
    monkeypatch.setattr(run_training, "timed", lambda costs, *given, **named: costs)


def evaluator_of(problem: Problem) -> Evaluator:
    return make(problem, test=False)


def rows(found: nas.SearchResult) -> pd.DataFrame:
    return pd.read_csv(found.csv, dtype=str, keep_default_na=False)


def test_a_short_training_is_the_run_with_so_many_iterations(tmp_path: Path) -> None:
    """To the bit, whatever was trained before."""
    problem, other = make_problem(tmp_path / "one"), make_problem(tmp_path / "other")
    scores = ByFidelity(evaluator_of, problem, own_schedules=True)
    alone = evaluator_of(replace(other, settings=replace(other.settings, iterations=4)))
    assert scores(POINT) != (short := scores(POINT, 0.5)) and short == alone(POINT)
    got, wanted = scores.recorded(POINT, 0.5), alone.recorded(POINT)
    assert got is not None and wanted is not None
    assert [got[name] for name in ("run", "iterations", "weights_digest")] == [
        wanted[name] for name in ("run", "iterations", "weights_digest")
    ]
    assert not got.get("iterations_trained") and scores.recorded(POINT) != got


def test_without_them_it_is_the_beginning_of_the_whole_one(tmp_path: Path) -> None:
    scores, alone = ByFidelity(evaluator_of, make_problem(tmp_path / "one")), evaluator_of(make_problem(tmp_path / "other"))
    assert scores(POINT, 0.5) == alone(POINT, 0.5)
    row = scores.recorded(POINT, 0.5)
    assert row is not None and (row["iterations"], row["iterations_trained"]) == ("8", "4")


def test_as_many_iterations_are_the_whole_training(tmp_path: Path) -> None:
    scores = ByFidelity(evaluator_of, make_problem(tmp_path), own_schedules=True)
    assert scores.at(0.99) == (scores.whole, 1.0)


def test_a_table_answers_where_it_has_rows_of_so_many_iterations(tmp_path: Path) -> None:
    problem = make_problem(tmp_path)
    trained = ByFidelity(evaluator_of, problem, own_schedules=True)
    expected = [trained(POINT, fidelity) for fidelity in (1.0, 0.5)]
    table = ByFidelity(partial(Tabular, path=tmp_path / "results" / "rows.csv"), problem, own_schedules=True)
    assert [table(POINT, fidelity) for fidelity in (1.0, 0.5)] == expected
    with pytest.raises(UserError, match="made with iterations=8 or 4, got iterations=2"):
        table(POINT, 0.25)


@pytest.mark.parametrize("together", [False, True])
def test_a_search_trains_each_rung_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {**SEARCH, "strategy": f"{ETA_2},schedules=own)", **({"at_once": 2, "train_together": True} if together else {})}
    found = nas.search(**settings)
    trials = pd.read_csv("results/trials.csv")
    assert list(zip(trials["fidelity"].fillna(1), trials["iterations_anew"], strict=True)) == 2 * ([(0.5, 2)] * 2 + [(1, 4)])
    trained = rows(found)
    assert list(trained["iterations"]) == 2 * ["2", "2", "4"] and "iterations_trained" not in trained
    assert trained["run"].nunique() == 6 and list(trained["run"]) == list(trials["run"])
    assert nas.search(**settings).new_rows == 0


def test_weights_are_saved_of_whole_trainings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = nas.search(**SEARCH, strategy=f"{ETA_2},schedules=own)", save_weights=True)
    saved = {path.parent.name for path in Path("runs").rglob("*.pt")}
    trained = rows(found)
    assert saved == set(trained["run"][trained["iterations"] == "4"])
