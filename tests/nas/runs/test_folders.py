"""What lies below the folder of runs: what is said of it, and that only what is chosen goes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from nas.problem import Problem
from nas.records import heartbeat
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.records.run_lock import RunLock
from nas.runs.folders import RunFolder, chosen, remove, run_folders
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return make_problem(tmp_path)


def evaluated(problem: Problem) -> str:
    """The run of a row in evaluate.csv whose weights are saved."""
    made = make(problem, weights="saved")
    made.log = problem.results.log("evaluate.csv")
    return made.run(POINT)["run"]


def interrupted(problem: Problem) -> str:
    """A run that was stopped after its first epoch."""

    def stop(what: str, done: int, total: int, **figures: float) -> None:
        if done == 5:
            raise KeyboardInterrupt

    made = make(problem, report=stop)
    with pytest.raises(KeyboardInterrupt):
        made.run(POINT)
    return made.run_folder(POINT).name


def listed(problem: Problem) -> dict[str, RunFolder]:
    return {folder.name: folder for folder in run_folders(problem.runs, problem.results)}


def empty(runs: Path, name: str, *files: str) -> Path:
    (runs / name).mkdir(parents=True)
    for file in files:
        (runs / name / file).write_text("{")
    return runs / name


def test_each_run_says_what_it_is(problem: Problem) -> None:
    finished, unfinished = evaluated(problem), interrupted(replace(problem, seed=3))
    found = listed(problem)
    assert set(found) == {finished, unfinished}
    one, other = found[finished], found[unfinished]
    assert (one.kind, one.state, one.rows, one.in_use) == ("run", "finished", ("evaluate.csv",), None)
    assert (other.kind, other.state, other.rows) == ("run", "unfinished", ())
    for folder, seed in ((one, "0"), (other, "3")):
        assert (folder.method, folder.decoupling, folder.task, folder.seed) == (problem.method, str(POINT), "toy", seed)
        assert folder.size_bytes == sum(path.stat().st_size for path in folder.path.iterdir())
    (problem.results.folder / "evaluate.csv").unlink()
    left = listed(problem)[finished]
    assert left.rows == () and left.method == problem.method  # as its weights say


def test_what_a_process_has_is_said_and_stays(problem: Problem, caplog: pytest.LogCaptureFixture) -> None:
    name = evaluated(problem)
    with RunLock(problem.runs / name):
        (folder,) = run_folders(problem.runs, problem.results)
        assert folder.in_use and f"process {os.getpid()}" in folder.in_use
        assert remove([folder], problem.results) == [] and "stays" in caplog.text
        assert remove([replace(folder, in_use=None)], problem.results) == []  # taken since it was listed
    assert RunLock(problem.runs / name).holder() is None and set(problem.runs.iterdir()) == {folder.path}
    (folder,) = run_folders(problem.runs, problem.results)
    assert remove([folder], problem.results, dry_run=True) == [folder] and folder.path.is_dir()
    assert remove([folder], problem.results) == [folder] and list(problem.runs.iterdir()) == []


@pytest.mark.parametrize(
    ("choice", "gone"),
    [
        ({"unfinished": True}, {"stopped", "asked"}),
        ({"without_row": True}, {"stopped", "saved", "asked"}),
        ({"older_than": 50.0}, {"stopped"}),
        ({"everything": True}, {"stopped", "saved", "rowed", "asked", "shared"}),
        ({"unfinished": True, "older_than": 50.0}, {"stopped"}),
        ({"without_row": True, "unfinished": True}, {"stopped", "asked"}),
    ],
)
def test_what_is_chosen(tmp_path: Path, choice: dict[str, object], gone: set[str]) -> None:
    for name, file, changed in (
        ("stopped", "checkpoint.pt", 10),
        ("saved", "trained.pt", 100),
        ("rowed", "trained.pt", 200),
        ("asked", "search.pt", 100),
        ("shared", "pretraining.pt", 300),
    ):
        os.utime(empty(tmp_path / "runs", name, file) / file, (changed, changed))
    ResultsLog(tmp_path / "evaluate.csv").append({"run": "rowed", "method": "dgl"})
    found = run_folders(tmp_path / "runs", Results(tmp_path))
    assert {folder.name for folder in chosen(found, **choice)} == gone  # type: ignore[arg-type]


@pytest.mark.parametrize(("choice", "says"), [({}, "got no choice"), ({"everything": True, "unfinished": True}, "no effect")])
def test_a_choice_is_asked_for(choice: dict[str, bool], says: str) -> None:
    with pytest.raises(UserError, match=says):
        chosen([], **choice)  # type: ignore[arg-type]


def test_a_search_is_finished_once_its_decisions_are_written(tmp_path: Path) -> None:
    empty(tmp_path / "runs", "one", "search.pt", "3.snapshot")
    empty(tmp_path / "runs", "two", "search.pt")
    ResultsLog(tmp_path / "decisions.csv").append({"run": "two"})
    states = {folder.name: (folder.kind, folder.state) for folder in run_folders(tmp_path / "runs", Results(tmp_path))}
    assert states == {"one": ("search", "unfinished"), "two": ("search", "finished")}


def test_a_pretraining_stays_for_the_search_that_goes_on_from_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty(tmp_path, "a_shared", "pretraining.pt", "0.snapshot")
    empty(tmp_path, "search", "search.pt")
    shared, search = run_folders(tmp_path, Results(tmp_path))
    assert remove([shared], Results(tmp_path), others=[search]) == [] and "the search search goes on from it" in caplog.text
    with RunLock(search.path):
        assert remove(run_folders(tmp_path, Results(tmp_path)), Results(tmp_path)) == []
    assert [folder.name for folder in remove([shared, search], Results(tmp_path))] == ["search", "a_shared"] and list(
        tmp_path.iterdir()
    ) == []


def test_links_and_files_of_others_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs, outside = tmp_path / "runs", empty(tmp_path, "outside", "trained.pt", "checkpoint.pt")
    mixed = empty(runs, "mixed", "checkpoint.pt", "note.txt")
    (mixed / "trained.pt").symlink_to(outside / "trained.pt")
    empty(mixed, "sub", "checkpoint.pt")
    (runs / "linked").symlink_to(outside)
    empty(runs, "foreign", "note.txt")
    found = run_folders(runs, Results(tmp_path))
    assert (
        [folder.name for folder in found] == ["mixed"]
        and remove(found, Results(tmp_path)) == found
        and "files of others" in caplog.text
    )
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "outside/checkpoint.pt",
        "outside/trained.pt",
        "runs/foreign/note.txt",
        "runs/mixed/note.txt",
        "runs/mixed/sub/checkpoint.pt",
        "runs/mixed/trained.pt",
    ]
    assert (mixed / "trained.pt").is_symlink()


def test_what_a_process_that_was_killed_first_of_all_left_goes_too(tmp_path: Path) -> None:
    (tmp_path / "killed.lock").write_text("process 1 on here")
    (tmp_path / "linked.lock").symlink_to(tmp_path / "killed.lock")
    (folder,) = run_folders(tmp_path, Results(tmp_path))
    assert (folder.name, folder.state, folder.in_use) == ("killed", "unfinished", None) and remove(
        [folder], Results(tmp_path)
    ) == [folder]
    assert [path.name for path in tmp_path.iterdir()] == ["linked.lock"]


def test_whatever_stands_in_a_file_is_a_line(tmp_path: Path) -> None:
    folder = empty(tmp_path, "one", "trained.pt")  # damaged
    (folder / "run.json").write_text(json.dumps({"method": "dgl\n\x1b[2J", "seed": 7}))
    (found,) = run_folders(tmp_path, Results(tmp_path))
    assert (found.method, found.seed, found.task) == ("dgl[2J", "7", "")
    (folder / "run.json").write_text("[1]")
    assert run_folders(tmp_path, Results(tmp_path))[0].method == ""


def test_no_folder_is_no_run(tmp_path: Path) -> None:
    assert run_folders(tmp_path / "nowhere", Results(tmp_path / "nowhere")) == []


def test_a_run_that_is_trained_now_says_how_far_it_is(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SECONDS_TO_FIRST", 0.001)
    monkeypatch.setattr(heartbeat, "SECONDS_BETWEEN", 0.001)
    seen = []

    def look(what: str, done: int, total: int, **figures: float) -> None:
        while done == 5 and not seen:
            seen.extend(folder for folder in listed(problem).values() if folder.running and folder.running.iteration == 5)

    made = make(problem, report=look)
    made(POINT)
    (folder,) = seen
    assert folder.running and folder.running.iterations == problem.settings.iterations and folder.running.loss is not None
    assert folder.name == made.run_folder(POINT).name and str(os.getpid()) in str(folder.in_use)
    assert all(folder.running is None for folder in listed(problem).values())
    assert not (problem.results.folder / ".running").exists()
