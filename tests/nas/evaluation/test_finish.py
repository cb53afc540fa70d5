"""Runs that are killed, that run out of memory, and that fail too often."""

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from nas.budget import Budget
from nas.cost import Cost
from nas.evaluation import evaluator as evaluate
from nas.evaluation import run_training
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.finish import Run, finish
from nas.evaluation.run_training import RunTraining
from nas.executors.executor import Lost
from nas.executors.here import Here
from nas.notice import heard_notices
from nas.problem import Problem, silent
from nas.report.summary import summarise, summary_table
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from tests.nas.evaluation.test_evaluator import OTHER, POINT, make, make_problem


@pytest.fixture
def problem(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Problem:
    def timed(evaluator: Evaluator, decoupling: Decoupling, costs: Cost) -> Cost:
        return replace(costs, blocks=tuple(replace(block, seconds=0.01) for block in costs.blocks))

    monkeypatch.setattr(RunTraining, "timed", timed)  # which takes longer than training
    return make_problem(tmp_path)


class Killing:
    """A pool whose first workers are killed, `times` of them; others do their jobs, two at once."""

    at_once = 2

    def __init__(self, times: int, decoupling: Decoupling = POINT) -> None:
        self.times, self.decoupling, self.begun = times, decoupling, 0

    def begin(self, job: tuple[Run, bool]) -> Future[bool]:
        run, waits = job
        self.begun += 1
        if run.decoupling == self.decoupling and self.times:
            self.times -= 1
            lost: Future[bool] = Future()
            lost.set_exception(Lost("SIGKILL", "node7"))
            return lost
        return Here(lambda given: run.attempt(waits=waits)).begin(job)

    def __enter__(self) -> "Killing":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def runs(problem: Problem, **given: Any) -> list[Run]:
    return [Run(make(problem, **given), point) for point in (POINT, OTHER)]


def rows(problem: Problem) -> list[dict[str, str]]:
    return make(problem).log.rows()


def out_of_memory_times(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The next so many trainings have no memory."""
    train, left = run_training.train, [None] * times

    def full(*given: Any, **named: Any) -> Any:
        if left:
            left.pop()
            raise MemoryError
        return train(*given, **named)

    monkeypatch.setattr(run_training, "train", full)


def test_a_killed_run_is_left_to_the_same_command_and_the_others_go_on(problem: Problem) -> None:
    told: list[str] = []
    with heard_notices(told.append), pytest.raises(UserError, match=r"1 run has no row.*killed \(SIGKILL\) on node7"):
        finish(runs(problem), silent, Killing(1))
    assert [row["decoupling"] for row in rows(problem)] == [str(OTHER)]
    assert len(told) == 1 and "the others go on" in told[0]
    finish(runs(problem), silent, Killing(0))
    assert [row["status"] for row in rows(problem)] == ["ok", "ok"]


def test_a_killed_run_is_tried_again_and_its_rows_say_how_often(problem: Problem) -> None:
    done: list[int] = []

    def report(what: str, count: int, total: int, **figures: float) -> None:
        if what == "runs":
            done.append(count)

    finish(runs(problem, retries=2), report, Killing(2), budget=Budget(retries=2))
    found = [(row["decoupling"], row["status"], row["attempts"], row["host"]) for row in rows(problem)]
    killed = [(str(POINT), "killed: SIGKILL", attempt, "node7") for attempt in ("1", "2")]
    assert sorted(found) == sorted([*killed, (str(POINT), "ok", "3", ""), (str(OTHER), "ok", "", "")])
    standing = [make(problem).recorded(point) for point in (POINT, OTHER)]
    assert [row and row["status"] for row in standing] == ["ok", "ok"] and done == [0, 1, 2]


def test_a_run_that_is_killed_each_time_has_failed_until_more_retries_are_given(problem: Problem) -> None:
    pool = Killing(9)
    for _ in range(2):  # the second time nothing is tried
        finish(runs(problem, retries=1), silent, pool, budget=Budget(retries=1))
        assert pool.begun == 3
    row = make(problem).recorded(POINT)
    assert row is not None and (row["status"], row["attempts"]) == ("killed: SIGKILL", "2")
    (one,) = [line for line in summarise([row]) if line.killed]
    assert "1 killed" in summary_table([one]) and one.mean == 100
    finish(runs(problem, retries=2), silent, Killing(0), budget=Budget(retries=2))
    row = make(problem).recorded(POINT)
    assert row is not None and (row["status"], row["attempts"]) == ("ok", "3")


def test_memory_that_is_there_the_next_time(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_times(monkeypatch, 1)
    finish(runs(problem, retries=1), silent, budget=Budget(retries=1))
    assert [(row["decoupling"], row["status"][:3], row["attempts"]) for row in rows(problem)] == [
        (str(POINT), "out", "1"),
        (str(OTHER), "ok", ""),  # before the second attempt: others may need the memory first
        (str(POINT), "ok", "2"),
    ]
    assert rows(problem)[0]["host"] and not rows(problem)[2]["host"]


def test_a_search_tries_again_at_once(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_times(monkeypatch, 3)
    assert make(problem, retries=1)(POINT).status.startswith("out of memory")
    assert [row["attempts"] for row in rows(problem)] == ["1", "2"]
    assert make(problem)(POINT).status.startswith("out of memory") and len(rows(problem)) == 2
    assert make(problem, retries=3)(POINT).status == "ok"


def test_a_run_that_diverges_is_never_tried_again(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*given: Any, **named: Any) -> None:
        raise evaluate.Diverged("the loss of stage 0 is nan")

    monkeypatch.setattr(run_training, "train", diverge)
    finish(runs(problem, retries=5), silent, budget=Budget(retries=5))
    assert [row["status"][:8] for row in rows(problem)] == ["diverged"] * 2


def test_too_many_failures_end_all(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_times(monkeypatch, 9)
    for _ in range(2):  # rows that are there count
        with pytest.raises(UserError, match="--max-failures is 1, got .* dgl 2:linear"):
            finish(runs(problem), silent, budget=Budget(max_failures=1))
        assert len(rows(problem)) == 1
    with pytest.raises(UserError, match="--max-failures is 2"):
        finish(runs(problem), silent, budget=Budget(max_failures=2))


def test_a_row_of_a_killed_attempt_does_not_stand_beside_what_came_out(problem: Problem) -> None:
    made: Evaluator = make(problem)
    made(POINT)
    made.record_killed(POINT, "SIGKILL", "node7")
    assert len(rows(problem)) == 1
