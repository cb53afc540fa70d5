"""Worker processes: what they answer, and how each of their ends is told."""

import os
import signal
import time
from concurrent.futures import Future
from functools import partial

import pytest

from nas.executors.executor import Lost
from nas.executors.here import Here
from nas.executors.local import Local, LocalPool, how_ended
from nas.notice import heard_notices, notice
from nas.problem import silent
from spaces.notation.errors import UserError


def make(greeting, report):
    made = os.getpid()

    def work(job):
        kind, value = job
        report("work", 1, 2, loss=0.5)
        if kind == "pid":
            return made, os.getpid(), greeting
        if kind == "raise":
            raise value
        if kind == "kill":
            os.kill(os.getpid(), value)
        if kind == "notice":
            notice(value)
        if kind == "touch":
            value.touch()
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                value.with_suffix(".saved").touch()
                raise
        return value

    return work


def opened(workers=2, report=silent):
    return Local(workers=workers).open(partial(make, "hello"), report, "cpu")


def waited_for(path):
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_this_process_does_one_job_at_a_time():
    pool = Here(make("hello", silent))
    assert pool.at_once == 1 and pool.begin(("echo", 3)).result() == 3
    with pytest.raises(UserError, match="no such"):
        pool.begin(("raise", UserError("no such"))).result()
    with pytest.raises(KeyboardInterrupt):
        Here(lambda job: signal.raise_signal(signal.SIGINT)).begin(None)


def test_workers_are_at_least_one():
    with pytest.raises(UserError, match="from 1 on, got 0"):
        Local(workers=0)


@pytest.mark.parametrize("code, said", [(-9, "SIGKILL"), (143, "SIGTERM"), (3, "exit code 3")])
def test_how_a_process_ended(code, said):
    assert how_ended(code) == said


def test_each_of_several_gpus_is_given_in_turns():
    pool = LocalPool(3, make, silent, ["4", "GPU-7"])
    assert [worker._gpu for worker in pool._workers] == ["4", "GPU-7", "4"]
    assert [worker._gpu for worker in LocalPool(2, make, silent, ["0"])._workers] == [None, None]


@pytest.mark.slow
def test_jobs_answer_raise_report_and_tell():
    reports, notices = [], []

    def report(what, done, total, **figures):
        reports.append((what, done, total, figures))

    with heard_notices(notices.append), opened(report=report) as pool:
        answers = [pool.begin(("pid", None)) for _ in range(4)]
        errors = [pool.begin(("raise", error)) for error in (UserError("no such"), OSError(28, "full"), KeyError("a"))]
        told = pool.begin(("notice", "mind the gap"))
        pids = [answer.result() for answer in answers]
        for future, kind in zip(errors, (UserError, OSError, KeyError), strict=True):
            with pytest.raises(kind) as raised:
                future.result()
            assert "test_local.py" in "".join(raised.value.__notes__)
        assert told.result() == "mind the gap"
    assert notices == ["mind the gap"]
    assert all(made == own != os.getpid() and greeting == "hello" for made, own, greeting in pids)
    assert {figures["worker"] for *_, figures in reports} <= {1, 2} and reports[0][:3] == ("work", 1, 2)
    for pid in {own for _, own, _ in pids}:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
def test_a_killed_worker_costs_its_job_alone():
    with opened(workers=1) as pool:
        first, killed, after = pool.begin(("pid", None)), pool.begin(("kill", signal.SIGKILL)), pool.begin(("pid", None))
        with pytest.raises(Lost, match=r"killed \(SIGKILL\) on ") as lost:
            killed.result()
        assert lost.value.reason == "SIGKILL" and lost.value.host
        assert after.result()[1] != first.result()[1]
        os.kill(after.result()[1], signal.SIGKILL)  # one that has no job
        assert pool.begin(("echo", 5)).result() == 5
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # as terminals and batch systems send them to all
            assert pool.begin(("kill", number)).result() == number


@pytest.mark.slow
def test_leaving_with_an_error_interrupts_what_runs_and_cancels_what_waits(tmp_path):
    with pytest.raises(KeyboardInterrupt), opened() as pool:
        running = [pool.begin(("touch", tmp_path / name)) for name in "ab"]
        waiting: Future = pool.begin(("echo", 1))
        for name in "ab":
            waited_for(tmp_path / name)
        raise KeyboardInterrupt
    assert (tmp_path / "a.saved").exists() and (tmp_path / "b.saved").exists()
    assert all(isinstance(future.exception(), Lost) for future in running) and waiting.cancelled()


@pytest.mark.slow
def test_an_error_of_the_report_is_the_jobs_error():
    def report(what, done, total, **figures):
        raise ZeroDivisionError

    with opened(workers=1, report=report) as pool:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                pool.begin(("echo", 1)).result()
