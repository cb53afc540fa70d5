"""Jobs that processes share: what others are at is left to them, and taken over when they are gone."""

from concurrent.futures import Future

import pytest

from nas.executors.executor import Lost
from nas.executors.here import Here
from nas.notice import heard_notices
from nas.shared_work import SharedWork


class Held:
    """A claim of another process, until it is `given_up`; each look at it is counted, and it is given up after so many."""

    def __init__(self, looks=0):
        self.looks = looks

    def holder(self):
        self.looks -= 1
        return "process 7 on elsewhere" if self.looks >= 0 else None


class ByHand:
    """A pool whose jobs end when the test says so."""

    at_once = 2

    def __init__(self):
        self.begun = []

    def begin(self, job):
        future = Future()
        self.begun.append((job, future))
        return future


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("nas.shared_work.POLL_SECONDS", 0.001)


def ask(work, job, claim=None, **more):
    return work.begin(job, f"job {job}", claim or Held(), **{"killed": lambda lost, times: None, **more})


def test_this_process_does_each_job_when_it_is_asked_for():
    done = []
    work = SharedWork(Here(lambda job: done.append(job) or job))
    answers = [ask(work, job) for job in (1, 2, 3)]
    assert done == [1, 2, 3] and [answer() for answer in answers] == [1, 2, 3]


def test_no_more_jobs_are_begun_than_there_are_workers_and_answers_come_in_any_order():
    pool = ByHand()
    work = SharedWork(pool)
    answers = [ask(work, job) for job in "abc"]
    assert [job for job, _ in pool.begun] == ["a", "b"]
    pool.begun[1][1].set_result("B")
    pool.begun[0][1].set_result("A")
    assert answers[0]() == "A" and [job for job, _ in pool.begun] == ["a", "b", "c"]
    pool.begun[2][1].set_result("C")
    assert answers[1]() == "B" and answers[2]() == "C"


def test_what_is_done_already_needs_no_worker():
    pool = ByHand()
    assert ask(SharedWork(pool), "a", is_done=lambda: True)() is True and pool.begun == []


def test_what_another_process_has_is_waited_for_while_the_next_is_done():
    """It is told who has it; when the claim is free the job is begun again, for it may have been given up half-way."""
    tries = []
    work = SharedWork(Here(lambda job: None if tries.append(job) or tries == ["a"] else job))
    with heard_notices((notices := []).append):
        first, second = ask(work, "a", Held(looks=4)), ask(work, "b")
        assert tries == ["a", "b"]
        assert first() == "a" and second() == "b" and tries == ["a", "b", "a"]
    assert notices == ["waiting for process 7 on elsewhere, which has job a"]


def test_what_another_process_has_may_be_done_by_it():
    done = []
    work = SharedWork(Here(lambda job: done.append(job)))
    assert ask(work, "a", Held(looks=10**6), is_done=lambda: len(done) == 1)() is True


def test_a_job_whose_worker_was_killed_is_begun_again_as_often_as_it_is_let():
    pool, heard = ByHand(), []

    def killed(lost, times):
        heard.append((lost.reason, times))
        if times == 2:
            raise lost

    work = SharedWork(pool)
    answer = ask(work, "a", killed=killed)
    pool.begun[0][1].set_exception(Lost("SIGKILL", "here"))
    ask(work, "b")
    assert [job for job, _ in pool.begun] == ["a", "a", "b"] and heard == [("SIGKILL", 1)]
    pool.begun[1][1].set_exception(Lost("SIGKILL", "here"))
    with pytest.raises(Lost):
        answer()


def test_what_a_job_raises_comes_through():
    pool = ByHand()
    work = SharedWork(pool)
    answer = ask(work, "a")
    pool.begun[0][1].set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        answer()
