"""What TensorBoard reads is what history.csv holds, whatever was cut short."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from nas.evaluation.run_training import RunTraining
from nas.problem import Problem
from nas.records import event_files
from nas.records.event_files import FILE, EventFiles, scalars
from nas.records.row_kinds import HISTORY
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem

ROW = {
    "run": "0123456789abcdef",
    "training": "1",
    "method": "dgl(label_smoothing=0.1)",
    "decoupling": "3:conv(depth=1) 5:linear",
    "task": "toy",
    "seed": "0",
    "validation_loss": "1.5",
    "scheduled_lr": "0.05",
}


def row(iteration: int, *, seconds: float | None = None, exit_errors: str = "0.5 0.25") -> dict[str, str]:
    return {
        **ROW,
        "iteration": str(iteration),
        "validation_error": exit_errors.split()[-1] if exit_errors else "0.5",
        "stage_losses": f"{1 / iteration!r} 0.5",
        "exit_errors": exit_errors,
        "seconds": "" if seconds is None else repr(seconds),
    }


ROWS = [row(3, seconds=1.5), row(6, seconds=3.25), row(8, seconds=4.0)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("tensorboard")
    return tmp_path / "tensorboard"


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Each curve as TensorBoard has it."""
    module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    accumulator = module.EventAccumulator(str(folder), size_guidance={module.SCALARS: 0})
    accumulator.Reload()
    return {tag: [(one.step, one.value) for one in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def check(folder: Path, rows: list[dict[str, str]]) -> None:
    """Each value of the rows is in the events, once, and nothing else."""
    wanted: dict[str, list[tuple[int, Any]]] = {}
    for one in rows:
        for tag, value in scalars(one):
            wanted.setdefault(tag, []).append((int(one["iteration"]), pytest.approx(value, rel=1e-6)))  # events hold float32
    assert read(folder) == wanted


def only(folder: Path) -> Path:
    (one,) = folder.iterdir()
    return one


def test_each_number_of_a_row_is_a_point_of_a_curve(folder: Path) -> None:
    EventFiles(folder).write(ROWS)
    check(only(folder), ROWS)
    assert set(read(only(folder))) == {
        *("validation_error", "validation_loss", "scheduled_lr", "seconds"),
        *("stage_losses/1", "stage_losses/2", "exit_errors/1", "exit_errors/2"),
    }
    assert only(folder).name == "dgl-3-conv-depth=1-5-linear-seed-0-0123456789abcdef"


def test_what_is_missing_is_appended_and_nothing_twice(folder: Path) -> None:
    for end in (1, 2, 2, 3, 3):
        EventFiles(folder).write(ROWS[:end])
        check(only(folder), ROWS[:end])
    assert [path.name for path in only(folder).iterdir()] == [FILE]


def test_a_file_that_was_cut_anywhere_is_completed(folder: Path) -> None:
    EventFiles(folder).write(ROWS)
    path = only(folder) / FILE
    whole = path.read_bytes()
    for size in range(0, len(whole), 29):
        path.write_bytes(whole[:size])
        EventFiles(folder).write(ROWS)
        check(only(folder), ROWS)
        assert size < 100 or path.read_bytes() == whole  # with the time of its beginning, once that is there


@pytest.mark.parametrize("there", [b"x" * 200, b"\xff" * 8, b"\x05" + b"\0" * 40, b"\x05" + b"\0" * 7 + b"\xff" * 40])
def test_a_file_of_something_else_is_written_anew(folder: Path, there: bytes) -> None:
    EventFiles(folder).write(ROWS)
    (only(folder) / FILE).write_bytes(there)
    EventFiles(folder).write(ROWS)
    check(only(folder), ROWS)


def test_rows_without_seconds_or_exits_have_what_they_have(folder: Path) -> None:
    rows = [row(3, exit_errors="")]
    EventFiles(folder).write(rows)
    EventFiles(folder).write([])
    check(only(folder), rows)
    assert not {"seconds", "exit_errors/1"} & set(read(only(folder)))


def test_relative_time_is_that_of_training(folder: Path) -> None:
    EventFiles(folder).write(ROWS[:1])
    EventFiles(folder).write(ROWS)
    module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    accumulator = module.EventAccumulator(str(only(folder)))
    accumulator.Reload()
    times = [one.wall_time for one in accumulator.Scalars("validation_error")]
    assert [time - times[0] for time in times] == pytest.approx([0, 1.75, 2.5], abs=1e-3)


@pytest.fixture
def problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Problem:
    monkeypatch.setattr(RunTraining, "timed", lambda self, decoupling, costs: costs)
    return make_problem(tmp_path)


def test_the_events_of_a_run_that_was_stopped_are_its_history(problem: Problem, folder: Path) -> None:
    def stop(what: str, done: int, total: int, **figures: float) -> None:
        if done == 6 and "validation_error" in figures:
            raise KeyboardInterrupt

    history = problem.results.log("history.csv", HISTORY)
    with pytest.raises(KeyboardInterrupt):
        make(problem, report=stop, events=EventFiles(folder)).run(POINT)
    assert len(history.rows()) == 2
    check(only(folder), history.rows())
    path = only(folder) / FILE
    path.write_bytes(path.read_bytes()[:-3])  # as where the process was killed in the middle
    row = make(problem, events=EventFiles(folder)).run(POINT)
    assert len(history.rows()) == 3 and only(folder).name.endswith(row["run"])
    check(only(folder), history.rows())


def test_a_run_that_is_there_gets_its_events_later_and_a_second_training_its_own(problem: Problem, folder: Path) -> None:
    make(problem).run(POINT)
    made = make(problem, events=EventFiles(folder))
    made.write_events(POINT)
    check(only(folder), problem.results.log("history.csv", HISTORY).rows())
    (problem.results.folder / "rows.csv").unlink()
    make(problem, events=EventFiles(folder)).run(POINT)
    one, other = sorted(path.name for path in folder.iterdir())
    assert other == f"{one}-2"


def test_without_the_package_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_files, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package tensorboard; pip install 'decoupled-nas\[tensorboard\]'"):
        EventFiles(tmp_path)
