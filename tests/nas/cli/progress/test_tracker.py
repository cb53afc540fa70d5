"""What is known of a command from what it reports."""

from __future__ import annotations

import pytest

from nas.cli.progress.tracker import Tracker
from nas.problem import Report, report_end


class Told:
    """A tracker on a clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tracker = Tracker(lambda: self.now)
        self.ends: list[object] = []

    def __call__(self, what: str, done: int, total: int, *, worker: float = 0, **figures: float) -> None:
        if end := self.tracker.told(what, done, total, int(worker), figures):
            self.ends.append(end)


@pytest.fixture
def told() -> Told:
    return Told()


def run(told: Told, what: str, seconds: float, error: float = 0.1, *, failed: bool = False) -> None:
    told(what, 0, 100)
    told.now += seconds
    told(what, 100, 100)
    report: Report = told
    report_end(report, what, error, failed=failed)


def test_the_time_left_is_that_of_the_whole_command(told: Told) -> None:
    told("runs", 0, 4)
    assert told.tracker.seconds_left() is None
    run(told, "a", 10)
    told("b", 0, 100)
    told.now += 5
    told("b", 50, 100)
    assert told.tracker.whole == pytest.approx(1.5 / 4) and told.tracker.seconds_left() == pytest.approx(25)


def test_runs_that_were_there_cost_no_time(told: Told) -> None:
    told("runs", 0, 10)
    for name in "abcd":
        report_end(told, name, 0.2, failed=False)
    assert told.tracker.counts["runs"] == (4, 10)
    run(told, "e", 10)
    report_end(told, "f", 0.2, failed=False)  # between runs, too
    assert told.tracker.seconds_left() == pytest.approx(40)


def test_workers_run_side_by_side(told: Told) -> None:
    told("runs", 0, 4)
    for worker in (1, 2):
        told(f"run {worker}", 0, 10, worker=worker, loss=1.0)
    told.now += 10
    for worker in (1, 2):
        told(f"run {worker}", 5, 10, worker=worker, loss=0.5)
    assert told.tracker.seconds_left() == pytest.approx(30) and sorted(told.tracker.running) == [1, 2]
    assert told.tracker.running[1].pace(told.now) == 0.5 and told.tracker.running[2].seconds_left(told.now) == 10
    report_end(told, "run 2", 0.3, failed=False)
    assert sorted(told.tracker.running) == [1]


def test_runs_in_one_go_count_each(told: Told) -> None:
    told("runs", 0, 4)
    told("4 runs together", 0, 10, runs=4)
    told.now += 10
    told("4 runs together", 5, 10, runs=4)
    assert told.tracker.whole == 0.5 and told.tracker.seconds_left() == pytest.approx(10)
    told("4 runs together", 10, 10, runs=4)
    for name in "abcd":
        report_end(told, name, 0.1, failed=False)
    assert told.tracker.whole == 1 and not told.tracker.running


def test_the_best_is_of_runs_that_did_not_fail(told: Told) -> None:
    told("runs", 0, 3)
    run(told, "a", 1, 0.3)
    run(told, "b", 1, 0.2)
    run(told, "c", 1, 1.0, failed=True)
    assert told.tracker.best == (0.2, "b") and told.tracker.failed == 1
    assert [(end.what, end.failed, end.error, end.seconds) for end in told.ends] == [  # type: ignore[attr-defined]
        ("a", False, 0.3, 1.0), ("b", False, 0.2, 1.0), ("c", True, None, 1.0),
    ]  # fmt: skip


def test_searches_are_counted_outside_their_trials(told: Told) -> None:
    told("searches", 0, 2)
    told("trials", 0, 2)
    run(told, "a", 10)
    run(told, "b", 10)
    assert told.tracker.whole == 0.5 and told.tracker.seconds_left() == pytest.approx(20)
    told("searches", 1, 2)
    assert "trials" not in told.tracker.counts
    told("trials", 0, 2)
    run(told, "a", 10)
    assert told.tracker.whole == 0.75 and told.tracker.seconds_left() == pytest.approx(10)


def test_a_run_that_goes_on_from_a_checkpoint_has_the_pace_of_now(told: Told) -> None:
    told("a", 80, 100)
    told.now += 5
    told("a", 90, 100)
    assert told.tracker.running[0].pace(told.now) == 2 and told.tracker.running[0].seconds_left(told.now) == 5
