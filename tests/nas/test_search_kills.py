"""Searches in several processes that are killed: the trials are those of one that nobody disturbed."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "run.py"
SEARCH = (
    *("search", "--space", "small(width=0.25)", "--task", "digits(validation=0.4)", "--iterations", "60"),
    *("--strategy", "optuna(sampler=random,trials=4)", "--workers", "2"),
)
OWN = ("decoupling", "number", "status", "validation_error", "run", "search", "known")


def start(folder):
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(RUN), *SEARCH], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def trials(folder):
    with open(folder / "results" / "trials.csv", newline="") as file:
        return [{name: row[name] for name in OWN} for row in csv.DictReader(file)]


def waited(holds):
    until = time.monotonic() + 120
    while not (found := holds()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def workers_at_a_run(folder):
    """The processes that hold runs, as the locks beside these say."""
    texts = [lock.read_text() for lock in folder.glob("runs/*.lock") if lock.exists()]
    return [int(text.split()[1]) for text in texts if text.startswith("process ")]


@pytest.mark.slow
def test_killed_workers_and_coordinators_leave_the_trials_of_an_undisturbed_search(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait(300) == 0
    search = start(killed)
    os.kill(waited(lambda: workers_at_a_run(killed))[0], signal.SIGKILL)
    _, told = search.communicate(timeout=300)
    assert search.returncode == 0 and "was killed (SIGKILL)" in told and "begun again" in told
    assert trials(killed) == trials(whole) and len(trials(whole)) == 4

    again = tmp_path / "again"
    search = start(again)
    waited(lambda: workers_at_a_run(again))
    search.kill()
    search.communicate()
    assert start(again).wait(300) == 0
    assert trials(again) == trials(whole)
