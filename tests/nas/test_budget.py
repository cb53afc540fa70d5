"""Budgets: lengths of time as people write them, and what they end."""

import signal
import threading
import time

import pytest

from methods.training.interruption import Interruptions
from nas.budget import TRY_AGAIN_LATER, Budget, Failures, TimeUp, read_seconds
from spaces.notation.errors import UserError


@pytest.mark.parametrize(
    "text, seconds", [("90", 90), ("0.5", 0.5), ("15m", 900), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1d2h3m4s", 93784)]
)
def test_lengths_of_time(text, seconds):
    assert read_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "2x", "h", "30m1h", "1:30", "nan", "0h", "9" * 20])
def test_what_is_no_length_of_time(text):
    with pytest.raises(UserError, match="such as 90"):
        Budget(time=text)


@pytest.mark.parametrize("given", [{"max_failures": 0}, {"retries": -1}])
def test_counts_that_mean_nothing(given):
    with pytest.raises(UserError, match=r"from \d on, got"):
        Budget(**given)


def test_time_ends_what_runs_and_a_step_first():
    before, steps = signal.getsignal(signal.SIGALRM), 0
    with pytest.raises(TimeUp) as up, Budget(time="0.05").limited(), Interruptions() as interruptions:
        while not interruptions.pending:
            time.sleep(0.001)
            steps += 1
        interruptions.deliver()
    assert steps and up.value.exit_code == TRY_AGAIN_LATER == 75 and "0.05" in up.value.said
    assert signal.getsignal(signal.SIGALRM) == before and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_time_that_is_not_over_ends_nothing():
    with Budget(time="1h").limited():
        assert 3590 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3600
    with Budget().limited():
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_time_that_is_over_before_it_begins():
    with pytest.raises(TimeUp), Budget(time="1", began=time.monotonic() - 10).limited():
        time.sleep(60)


def test_time_is_of_the_main_thread():
    said = []

    def call():
        with pytest.raises(UserError, match="main thread") as error, Budget(time="1h").limited():
            pass
        said.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert said


def test_failures_are_counted_up_to_the_most():
    failures = Failures(Budget(max_failures=2))
    for status in ("ok", "diverged: nan", "ok"):
        failures.add("a run", status)
    with pytest.raises(UserError, match="--max-failures is 2, got .* the last of them run 7 .out of memory"):
        failures.add("run 7", "out of memory: 1 GiB")
    for _ in range(9):
        Failures(Budget()).add("a run", "killed: SIGKILL")
