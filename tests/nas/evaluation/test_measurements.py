"""The contract of measurements: asked for at once or later, in any order, they give equal rows of one training."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from methods.training import loop as training
from nas.data.images.images import Images
from nas.evaluation import evaluator as evaluate
from nas.evaluation import run_training
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.finish import Run, finish
from nas.evaluation.measurements import exits as exits_file
from nas.evaluation.measurements.ensemble import Ensemble
from nas.evaluation.measurements.exits import Exits
from nas.evaluation.measurements.measurement import Measurement
from nas.exits.timing import ExitSeconds
from nas.problem import Problem, silent
from nas.records.results_log import ResultsLog
from nas.records.run_lock import RunLock
from nas.runs.trained_run import FILE, TrainedRun
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem, split

FILES = ("rows.csv", "ensembles.csv", "exits.csv", "curves.csv")
PASSING = ("time", "step_seconds", "pipeline_speedup_bound")  # no two trainings take equally long


def ensemble(problem: Problem, size: int = 2) -> Measurement:
    return Ensemble.of(problem.results, problem.results.log("rows.csv"), size)


KINDS: dict[str, Callable[[Problem], Measurement]] = {
    "ensemble": ensemble,
    "exits": lambda problem: Exits.of(problem.results, calibrated=False),
    "calibrated": lambda problem: Exits.of(problem.results, calibrated=True),
}


def asking(problem: Problem, *kinds: str, weights: str = "saved") -> Evaluator:
    return make(problem, measurements=[KINDS[kind](problem) for kind in kinds], weights=weights)


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


@pytest.fixture(autouse=True)
def equal_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(method: Any, data: Any, part: Any, size: int, points: Sequence[Any], *rest: Any) -> ExitSeconds:
        return ExitSeconds([1.0] * method.net.num_blocks, [1.0] * len(points), 1)

    monkeypatch.setattr(exits_file, "exit_seconds", seconds)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The iteration at which each training since the test began took up its run."""
    began: list[int] = []

    def counted(*given: Any, checkpoint: Path, report: Any, **named: Any) -> training.Trained:
        began.append(-1)

        def first(progress: Any) -> None:
            began[-1] = progress.iteration if began[-1] < 0 else began[-1]
            report(progress)

        return training.train(*given, checkpoint=checkpoint, report=first, **named)

    monkeypatch.setattr(run_training, "train", counted)
    return began


def written(problem: Problem) -> dict[str, list[tuple[tuple[str, str], ...]]]:
    """All rows of all files, in any order, without what time left in them."""
    return {
        name: sorted(
            tuple((column, cell) for column, cell in row.items() if column not in PASSING)
            for row in problem.results.log(name).rows()
        )
        for name in FILES
    }


def test_at_once_or_later_in_any_order_the_rows_are_equal_and_one_training_made_them(
    tmp_path: Path, trainings: list[int]
) -> None:
    at_once = make_problem(tmp_path / "at_once")
    asking(at_once, *KINDS)(POINT)
    expected = written(at_once)
    assert [len(expected[name]) for name in FILES][:3] == [1, 1, 6] and len(expected["curves.csv"]) > 20
    asking(make_problem(tmp_path / "trained"))(POINT)
    trainings.clear()
    for order in permutations(KINDS):
        shutil.copytree(tmp_path / "trained", tmp_path / "-".join(order))
        later = make_problem(tmp_path / "-".join(order))
        for kind in order:
            asking(later, kind)(POINT)
        assert written(later) == expected and trainings == []


def test_a_comparison_measures_what_is_trained(problem: Problem, trainings: list[int], caplog: pytest.LogCaptureFixture) -> None:
    asking(problem)(POINT)
    asked = asking(problem, "exits")
    assert asked.only_measures(POINT) and asked.why_again(POINT) is None and not asked.is_done(POINT)
    finish([Run(asked, POINT)], silent)
    assert asked.is_done(POINT) and len(trainings) == 1 and not asked.only_measures(POINT)
    assert not (problem.runs / asked.log.rows()[0]["run"]).with_suffix(".lock").exists()


def test_discarded_weights_are_trained_again_and_that_is_said(problem: Problem, trainings: list[int]) -> None:
    asking(problem, weights="discarded")(POINT)
    assert not any(path.is_dir() for path in problem.runs.iterdir())
    asked = asking(problem, "exits", "ensemble", weights="discarded")
    assert asked.why_again(POINT) == "no weights are saved to measure exits and ensembles with"
    asked(POINT)
    assert len(trainings) == 2 and len(asked.log.rows()) == 1 and asked.is_done(POINT)
    assert not any(path.is_dir() for path in problem.runs.iterdir())


def test_a_row_without_weights_is_done_unless_they_are_required(problem: Problem, trainings: list[int]) -> None:
    asking(problem, weights="discarded")(POINT)
    asking(problem)(POINT)
    assert len(trainings) == 1
    asking(problem, weights="required")(POINT)
    (row,) = make(problem).log.rows()
    assert len(trainings) == 2 and TrainedRun.load(problem.runs / row["run"]).digest == row["weights_digest"]


def test_another_test_split_is_tested_without_training(problem: Problem, trainings: list[int]) -> None:
    asking(problem, "exits", "ensemble")(POINT)
    assert isinstance(problem.data, Images)
    other = replace(problem, data=replace(problem.data, read_test=lambda: split(45, 9)))
    asked = asking(other, "exits")
    assert asked.only_measures(POINT)
    asked(POINT)
    first, second = asked.log.rows()
    assert len(trainings) == 1 and first["run"] == second["run"] and first["test_digest"] != second["test_digest"]
    differing = {name for name in first if first[name] != second[name]}
    assert {"test_digest"} < differing <= {"test_digest", "test_error", "test_loss", "time"}
    assert asked.measured(asked.measurements[0], POINT)[0][-1]["test_error"] == second["test_error"]
    assert len(problem.results.log("exits.csv").rows()) == 6


@pytest.mark.parametrize("old", [{"ensemble": "1"}, {"ensemble": "2", "ensemble_test_error": "0.5", "exits": "True"}])
def test_rows_of_older_versions_count_for_what_they_hold(problem: Problem, trainings: list[int], old: dict[str, str]) -> None:
    asking(problem, "exits", weights="discarded")(POINT)
    for name in ("rows.csv", "exits.csv", "curves.csv"):
        log = problem.results.log(name)
        rows = log.rows()
        log.path.unlink()
        log.append_all([{**row, **old, **({"run": "older"} if name == "rows.csv" else {})} for row in rows])
    asked = asking(problem, "exits", *(["ensemble"] if old["ensemble"] == "2" else []))
    assert asked.is_done(POINT)
    asked(POINT)
    assert len(trainings) == 1 and len(asked.measured(asked.measurements[0], POINT)[0]) == 3
    if old["ensemble"] == "2":
        (((row,),)) = asked.measured(asked.measurements[1], POINT)
        assert row["ensemble_test_error"] == "0.5"


@pytest.mark.parametrize("calibrated", [None, True])
def test_a_run_that_an_older_version_named_keeps_its_name(problem: Problem, calibrated: bool | None) -> None:
    asked = asking(problem, weights="discarded")
    asked(POINT)
    older: dict[str, Any] = {**asked.key(POINT), "ensemble": 1, "exits": True, "calibrated": calibrated}
    (row,) = asked.log.rows()
    asked.log.path.unlink()
    asked.log.append({**row, "ensemble": 1, "exits": True, "calibrated": calibrated, "run": evaluate.run_name(older)})
    asking(problem, weights="required")(POINT)
    (row,) = asked.log.rows()
    assert TrainedRun.load(problem.runs / row["run"]).name == row["run"] == evaluate.run_name(older)


class Killed(BaseException):
    """What a process that is killed here never gets past."""


def _save(run: TrainedRun) -> None:
    raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["saved", "discarded"])
@pytest.mark.parametrize("place", ["history.csv", "save", "row", "ensembles.csv", "exits.csv", "curves.csv", "end"])
def test_killed_anywhere_the_next_command_gives_the_same_rows(
    problem: Problem, tmp_path: Path, trainings: list[int], place: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write is the last thing that a process does: before it, it is killed."""
    whole = make_problem(tmp_path / "whole")
    asking(whole, *KINDS, weights=weights)(POINT)
    with monkeypatch.context() as patch:
        append, once = ResultsLog.append_all, ResultsLog.append_once

        def stop(own: str) -> Callable[..., None]:
            def stopping(log: ResultsLog, *given: Any) -> None:
                if place == log.path.name or (place == own and log.path.name != "history.csv"):
                    raise Killed
                (once if own == "row" else append)(log, *given)

            return stopping

        patch.setattr(ResultsLog, "append_all", stop("rows"))
        patch.setattr(ResultsLog, "append_once", stop("row"))
        if place == "save":
            patch.setattr(TrainedRun, "save", _save)
        if place == "end":
            patch.setattr(evaluate, "remove_unfinished", lambda folder: _save(folder))  # type: ignore[arg-type]
        if place != "save" or weights == "saved":
            with pytest.raises(Killed):
                asking(problem, *KINDS, weights=weights)(POINT)
    trainings.clear()
    asking(problem, *KINDS, weights=weights)(POINT)
    asking(problem, *KINDS, weights=weights)(POINT)
    assert written(problem) == written(whole)
    if place not in ("history.csv", "save") or (place == "save" and weights == "saved"):
        assert trainings in ([], [-1])  # from saved weights, or from the checkpoint of the last iteration
    left = {path.name for path in problem.runs.rglob("*") if path.is_file()}
    assert left == ({FILE} if weights == "saved" else set())


def test_a_measurement_without_enough_memory_is_told_and_asked_for_again_next_time(
    problem: Problem, trainings: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*given: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(exits_file, "exit_costs", full)
        asked = asking(problem, "exits", "ensemble")
        finish([Run(asked, POINT)], silent)  # once, and not for ever
    assert "the exits of run" in caplog.text and "out of memory" in caplog.text
    assert [len(problem.results.log(name).rows()) for name in FILES] == [1, 1, 0, 0]
    assert asked.log.rows()[0]["status"] == "ok"
    again = asking(problem, "exits")
    assert not again.is_done(POINT)
    again(POINT)
    assert again.is_done(POINT) and len(trainings) == 1


def test_saved_weights_that_cannot_be_read_are_trained_again(problem: Problem, trainings: list[int]) -> None:
    asking(problem)(POINT)
    (row,) = make(problem).log.rows()
    (problem.runs / row["run"] / FILE).write_bytes(b"torn")
    asked = asking(problem, "ensemble")
    assert "no weights are saved" in str(asked.why_again(POINT))
    asked(POINT)
    assert len(trainings) == 2 and TrainedRun.load(problem.runs / row["run"]).digest == row["weights_digest"]


def test_points_that_came_out_otherwise_are_left_alone_and_told(problem: Problem, caplog: pytest.LogCaptureFixture) -> None:
    asking(problem, "exits")(POINT)
    curves = ResultsLog(problem.results.folder / "curves.csv")
    rows = curves.rows()
    curves.path.unlink()
    curves.append_all([{**rows[0], "threshold": "0.123456"}, *rows[2:]])
    asked = asking(problem, "exits")
    asked(POINT)
    assert "came out otherwise" in caplog.text and len(ResultsLog(curves.path).rows()) == len(rows) - 1


def test_the_weights_of_a_search_are_not_overwritten_by_others(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search and an evaluation of the same settings are the same run, with a log each."""
    searched = Evaluator(problem, problem.results.log("search.csv"), silent, command="", test=False, weights="saved")
    searched(POINT)
    first = searched.log.rows()[0]["run"]
    digest = TrainedRun.load(problem.runs / first).digest

    def other(method: Any, *given: Any, **named: Any) -> training.Trained:
        trained = training.train(method, *given, **named)
        next(trained.method.parameters()).data += 0.5
        return trained

    monkeypatch.setattr(run_training, "train", other)
    asking(problem)(POINT)
    (row,) = make(problem).log.rows()
    assert row["run"] != first and TrainedRun.load(problem.runs / first).digest == digest
    assert TrainedRun.load(problem.runs / row["run"]).name == row["run"]


def test_who_measures_holds_the_folder_that_the_row_names(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    asking(problem)(POINT)
    log = make(problem).log
    (row,) = log.rows()
    (problem.runs / row["run"]).rename(problem.runs / "older")
    log.path.unlink()
    log.append({**row, "run": "older"})
    held: list[bool] = []
    monkeypatch.setattr(Ensemble, "measure", lambda *given: held.append(RunLock(problem.runs / "older").try_take()) or [[]])
    asking(problem, "ensemble")(POINT)
    assert held == [False]


@pytest.mark.parametrize("size", [0, -1])
def test_an_ensemble_has_heads(problem: Problem, size: int) -> None:
    with pytest.raises(UserError, match=f"from 1 on, got {size}"):
        ensemble(problem, size)
