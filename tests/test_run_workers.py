"""`--workers` and budgets as a person uses them: the same rows, and every end that processes can suffer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import nas
import run
from nas.strategies import STRATEGIES

ROOT = Path(run.__file__).resolve().parent
TINY = ("--space", "small(width=0.25)", "--decoupling", "even(2)", "--methods", "dgl", "--seeds", "2", "--batch-size", "32")
LONG = ("evaluate", *TINY, "--iterations", "4000", "--workers", "2")
SECONDS = 120.0  # for anything that ends by itself


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAS_DATA_DIR", raising=False)


@pytest.fixture
def call(monkeypatch, capsys):
    """call(*argv): exit code, what is printed, and what is said beside it."""

    def called(*argv):
        monkeypatch.setattr(sys, "argv", ["run.py", *argv])
        code = run.main(list(argv))
        return code, *capsys.readouterr()

    return called


@pytest.fixture
def started():
    """started(*argv): the program, whose two runs have begun, or have each the file of that name in their folder."""
    programs = []

    def start(*argv, file="run.json"):
        program = subprocess.Popen(
            [sys.executable, ROOT / "run.py", *argv], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        programs.append(program)
        until = time.monotonic() + SECONDS
        while len(list(Path("runs").glob(f"*/{file}"))) < 2:
            assert time.monotonic() < until and program.poll() is None
            time.sleep(0.02)
        return program

    yield start
    for program in programs:
        program.kill()
        program.wait()


def rows(name="evaluate", folder="."):
    return pd.read_csv(f"{folder}/results/{name}.csv", keep_default_na=False, dtype=str)


def family(program):
    """The processes that it started."""
    return psutil.Process(program.pid).children(recursive=True)


@pytest.mark.parametrize(
    "flags, told",
    [
        (("--workers", "0"), "--workers is how many processes work, from 1 on, got 0"),
        (("--workers", "2", "--executor", "local(workers=2)"), "--executor"),
        (("--executor", "slurm(workers=2)"), "unknown executor 'slurm'"),
        (("--time", "soon"), "got 'soon'"),
        (("--max-failures", "0"), "from 1 on, got 0"),
        (("--retries", "-1"), "from 0 on, got -1"),
    ],
)
def test_what_means_nothing_is_refused(call, flags, told):
    code, out, err = call("evaluate", *TINY, *flags)
    assert (code, out) == (2, "") and told in err.splitlines()[-1]


ONE_JOB = [name for name in STRATEGIES if getattr(STRATEGIES[name], "is_one_job", False)]


@pytest.mark.parametrize("strategy", ONE_JOB)
@pytest.mark.parametrize(
    "flags, told",
    [
        (("--workers", "2"), "workers are at most as many as have something to do, got 2 for one search, of one seed"),
        (("--workers", "3", "--seeds", "2"), "got 3 for 2 searches, one for each seed"),
        (("--at-once", "2"), "which is one long job and asks for none"),
        (("--train-together",), "which is one long job and asks for none"),
    ],
)
def test_workers_and_trials_in_flight_of_a_strategy_that_is_one_job_are_refused(call, strategy, flags, told):
    code, out, err = call("search", "--space", "small(width=0.25)", "--strategy", strategy, *flags)
    assert (code, out) == (2, "") and told in err.splitlines()[-1] and not Path("results").exists()


def test_a_command_whose_time_is_up_says_how_to_go_on(call):
    flags = ("evaluate", *TINY, "--iterations", "100000")
    code, out, err = call(*flags, "--time", "0.01")
    assert (code, out) == (75, "") and not Path("results/evaluate.csv").exists()
    said = err.strip().splitlines()[-1]
    assert "the time is up, which was 0.01 s; finished rows are kept, go on with: " in said and "python run.py evaluate" in said


@pytest.mark.slow
def test_rows_of_workers_are_those_of_one_process(call):
    for folder, workers in (("one", 1), ("two", 2)):
        flags = ("--lr", "0.05", "0.1", "--results", f"{folder}/results", "--runs", f"{folder}/runs")
        code, _, err = call("evaluate", *TINY, "--iterations", "4", *flags, "--workers", str(workers))
        assert code == 0, err
    for name in ("evaluate", "search"):
        one, two = (
            pd.read_csv(f"{folder}/results/{name}.csv", keep_default_na=False, dtype=str)
            .sort_values("run")
            .reset_index(drop=True)
            for folder in ("one", "two")
        )
        timed = ["step_seconds", "pipeline_speedup_bound", "time", "command"]
        assert set(one) == set(two)  # columns stand in the order in which rows first had them
        assert one.drop(columns=timed).equals(two[list(one)].drop(columns=timed))


@pytest.mark.slow
def test_a_signal_ends_all_with_their_states_saved(started):
    program = started(*LONG, file="checkpoint.pt")
    children = family(program)
    program.send_signal(signal.SIGTERM)
    _, err = program.communicate(timeout=SECONDS)
    assert program.returncode == 143 and "interrupted by SIGTERM; finished rows are kept, go on with:" in err
    assert "Traceback" not in err and len(list(Path("runs").glob("*/checkpoint.pt"))) == 2
    assert not psutil.wait_procs(children, timeout=SECONDS)[1]


@pytest.mark.slow
def test_no_worker_outlives_a_program_that_is_killed(started):
    program = started(*LONG)
    children = family(program)
    assert len(children) >= 3  # two workers and the server that forked them
    program.kill()
    assert not psutil.wait_procs(children, timeout=SECONDS)[1]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_row_tells(started):
    flags = [flag if flag != "4000" else "60" for flag in LONG]
    program = started(*flags, "--retries", "1")
    worker = next(child for child in family(program) if child.ppid() != program.pid)
    os.kill(worker.pid, signal.SIGKILL)
    _, err = program.communicate(timeout=SECONDS)
    assert program.returncode == 0 and "killed (SIGKILL)" in err and "it is tried again" in err
    assert sorted(zip(rows()["status"], rows()["attempts"], strict=True)) == [("killed: SIGKILL", "1"), ("ok", ""), ("ok", "2")]


@pytest.mark.slow
def test_python_has_workers_too():
    heard = []
    table = nas.evaluate(
        "small(width=0.25)",
        "digits",
        methods=["dgl"],
        decoupling=["even(2)"],
        seeds=2,
        iterations=2,
        workers=2,
        progress=lambda what, done, total, **figures: heard.append((what, figures.get("worker"))),
    )
    assert list(table["status"]) == ["ok", "ok"] and ("runs", None) in heard and {worker for _, worker in heard} > {None}


PARTS = (
    "search",
    "--space",
    "small(width=0.25)",
    "--task",
    "digits",
    "--strategy",
    "hyperband(trials=4,eta=2,min_fidelity=0.25)",
)
OWN_SCHEDULES = (*PARTS[:-1], "hyperband(trials=4,eta=2,min_fidelity=0.25,schedules=own)")
TOLD = ["run", "iterations", "iterations_trained", "status", "validation_error", "validation_loss", "weights_digest"]


def trained(folder, kind="search"):
    """What came out of all trainings, whole and in part, in whatever order they ended."""
    return sorted(map(tuple, rows(kind, folder).reindex(columns=TOLD).astype(object).fillna("").to_numpy()))


@pytest.mark.slow
@pytest.mark.parametrize("parts", [PARTS, OWN_SCHEDULES])
def test_short_trainings_of_workers_are_those_of_one_process_and_the_answer_too(call, parts):
    for folder, workers in (("one", 1), ("two", 2)):
        flags = ("--iterations", "8", "--results", f"{folder}/results", "--runs", f"{folder}/runs", "--workers", str(workers))
        code, _, err = call(*parts, *flags, "--json")
        assert code == 0, err
    assert trained("one") == trained("two") and len({row[1:3] for row in trained("one")}) > 1
    assert list(rows("trials", "one")["decoupling"]) == list(rows("trials", "two")["decoupling"])


@pytest.mark.slow
def test_a_search_killed_in_a_partial_training_goes_on_to_the_same_trainings(started, call):
    flags = ("--iterations", "240", "--batch-size", "32")
    program = started(*PARTS, *flags, "--workers", "2", file="checkpoint.pt")
    for one in (*family(program), program):
        one.kill()
    program.wait()
    before = Path("results/search.csv").exists() and len(rows("search"))
    assert call(*PARTS, *flags)[0] == 0
    assert len(rows("search")) > before
    assert call(*PARTS, *flags, "--results", "one/results", "--runs", "one/runs")[0] == 0
    assert trained(".") == trained("one")
    assert not list(Path("runs").glob("*/*.part"))
