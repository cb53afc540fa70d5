"""history.csv: a row an epoch, the same whatever happens to the run, and the trainings of a run told apart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.cli.runs import _state
from nas.evaluation import evaluator as evaluate
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.run_training import RunTraining
from nas.problem import Problem, silent
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import HISTORY
from nas.runs.folders import chosen, remove, run_folders
from tests.nas.evaluation.test_evaluator import OTHER, POINT, make, make_problem

HERE = Path(__file__).resolve().parent


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


@pytest.fixture(autouse=True)
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunTraining, "timed", lambda self, decoupling, costs: costs)


def history(problem: Problem, **cells: Any) -> list[dict[str, str]]:
    """The rows with these cells, without what no two trainings share."""
    rows = problem.results.log("history.csv", HISTORY).find_all(cells)
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows]


def stopped(problem: Problem, at: int, *, validated: bool = False) -> None:
    """Stop the run after so many iterations, before the validation or, when `validated`, between its row and its checkpoint."""

    def stop(what: str, done: int, total: int, **figures: float) -> None:
        if done == at and ("validation_error" in figures) is validated:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(problem, report=stop).run(POINT)


def test_a_row_says_what_the_run_was_like_after_each_epoch(problem: Problem) -> None:
    made = make(problem)
    row = made.run(POINT)
    rows = history(problem)
    assert [(one["iteration"], one["training"]) for one in rows] == [("3", "1"), ("6", "1"), ("8", "1")]  # 3 batches an epoch
    assert [float(one["epoch"]) for one in rows] == [1, 2, 8 / 3]
    for name in ("run", "method", "decoupling", "task", "seed"):
        assert {one[name] for one in rows} == {row[name]}
    best = next(one for one in rows if one["iteration"] == row["best_iteration"])
    assert (best["validation_error"], best["validation_loss"]) == (row["validation_error"], row["validation_loss"])
    for one in rows:
        assert len(one["stage_losses"].split()) == len(one["exit_errors"].split()) == 3
        assert one["exit_errors"].split()[-1] == one["validation_error"]
    assert not row.get("training")  # the first


def test_heads_without_logits_have_no_errors(problem: Problem) -> None:
    make(replace(problem, method="infopro(loss=contrast)")).run(OTHER)
    assert {row["exit_errors"] for row in history(problem)} == {""} and len(history(problem)) == 3


def test_exits_may_be_left_out_and_nothing_else_changes(problem: Problem) -> None:
    row = make(problem, exit_errors=False).run(POINT)
    without = history(problem)
    whole = make_problem(problem.runs / "elsewhere")
    with_exits = make(whole).run(POINT)
    assert {one["exit_errors"] for one in without} == {""} and [one | {"exit_errors": ""} for one in history(whole)] == without
    assert (row["weights_digest"], row["test_error"]) == (with_exits["weights_digest"], with_exits["test_error"])


@pytest.mark.parametrize(("at", "validated", "told"), [(2, False, 0), (3, True, 1), (6, False, 1), (6, True, 2), (8, True, 3)])
def test_a_run_that_is_stopped_and_goes_on_has_the_history_of_one_that_was_not(
    problem: Problem, at: int, validated: bool, told: int
) -> None:
    stopped(problem, at, validated=validated)
    assert len(history(problem)) == told
    make(problem).run(POINT)
    whole = make_problem(problem.runs / "elsewhere")
    make(whole).run(POINT)
    assert history(problem) == history(whole)
    seconds = [float(row["seconds"]) for row in problem.results.log("history.csv", HISTORY).rows()]
    assert all(second > 0 for second in seconds)


def main(folder: str, dies_at: str) -> None:
    """What a process that kills itself runs."""
    torch.set_num_threads(1)

    def die(what: str, done: int, total: int, **figures: float) -> None:
        if done == int(dies_at) and "validation_error" in figures:
            os.kill(os.getpid(), signal.SIGKILL)

    make(make_problem(Path(folder)), report=die).run(POINT)


@pytest.mark.slow
def test_kill_9_between_a_row_and_its_checkpoint_repeats_no_epoch(problem: Problem) -> None:
    folders = [str(HERE), str(HERE.parents[2])]
    script = f"import sys; sys.path[:0] = {folders}; import test_history; test_history.main(*sys.argv[1:])"
    died = subprocess.run([sys.executable, "-c", script, str(problem.runs.parent), "6"], check=False)
    assert died.returncode == -signal.SIGKILL and len(history(problem)) == 2
    make(problem).run(POINT)
    whole = make_problem(problem.runs / "elsewhere")
    make(whole).run(POINT)
    assert history(problem) == history(whole)


def test_trainings_are_numbered_and_rows_say_which_is_theirs(problem: Problem) -> None:
    first = make(problem).run(POINT)
    (problem.results.folder / "rows.csv").unlink()
    second = make(problem).run(POINT)
    assert first["run"] == second["run"] and (first.get("training", ""), second["training"]) == ("", "2")
    one, other = (history(problem, run=first["run"], training=training) for training in (1, 2))
    assert len(one) == 3 and [{**row, "training": "2"} for row in one] == other


def test_a_training_that_came_out_otherwise_has_its_history_under_its_own_run(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(problem).run(POINT)
    monkeypatch.setattr(evaluate, "weights_digest", lambda weights: "0123456789abcdef")
    made = make(problem, weights="required")
    second = made.run(POINT)
    assert second["run"] != first["run"] and second["training"] == "2"
    own = history(problem, run=second["run"], training=second["training"])
    assert [row["iteration"] for row in own] == ["3", "6", "8"]
    assert len(history(problem, run=first["run"], training=1)) == 3


def test_a_removed_run_keeps_its_history_and_begins_another(problem: Problem) -> None:
    stopped(problem, 5)
    (folder,) = run_folders(problem.runs, problem.results)
    assert folder.rows == () and folder.epoch == 1  # a history is no row of a run
    assert _state(folder) == "unfinished after epoch 1"
    assert json.loads((folder.path / "run.json").read_text())["training"] == 1
    assert remove(chosen([folder], without_row=True, unfinished=True), problem.results) == [folder]
    make(problem).run(POINT)
    assert [(row["training"], row["iteration"]) for row in history(problem)] == [("1", "3"), ("2", "3"), ("2", "6"), ("2", "8")]


@pytest.mark.parametrize("about", ["", "[1]", '{"training": -1}', '{"training": "x"}', "{}"])
def test_what_is_no_number_beside_a_checkpoint_begins_a_new_one(problem: Problem, about: str) -> None:
    stopped(problem, 5)
    (problem.runs / make(problem).run_folder(POINT).name / "run.json").write_text(about)
    make(problem).run(POINT)
    assert [(row["training"], row["iteration"]) for row in history(problem)] == [("1", "3"), ("2", "6"), ("2", "8")]


def test_trials_of_a_search_have_a_history_too(problem: Problem) -> None:
    log = ResultsLog(problem.results.folder / "search.csv")
    Evaluator(problem, log, silent, command="here", test=False, labels={"strategy": "random"})(OTHER)
    assert {row["decoupling"] for row in history(problem)} == {str(OTHER)} and len(history(problem)) == 3
