"""`run.py evaluate --parallel`: rows as of one process, whatever ends it meanwhile, on this machine and under torchrun."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import run

ROOT = Path(__file__).parents[1]
COMMAND = ("evaluate", "--space", "small(width=0.25)", "--decoupling", "even(3)", "--methods", "dgl", "--seeds", "1")
SAME = ("run", "weights_digest", "validation_error", "validation_loss", "test_error", "train_loss", "best_iteration")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")


def only_row(results: str) -> dict[str, str]:
    (row,) = csv.DictReader(Path(results, "evaluate.csv").read_text().splitlines())
    return row


def history(results: str) -> list[dict[str, str]]:
    """The rows of the run, without what no two trainings share."""
    rows = list(csv.DictReader(Path(results, "history.csv").read_text().splitlines()))
    assert all(float(row.pop("seconds")) > 0 for row in rows) and all(len(row["exit_errors"].split()) == 3 for row in rows)
    return rows


def alone(iterations: int) -> dict[str, str]:
    assert run.main([*COMMAND, "--iterations", str(iterations), "--results", "alone", "--runs", "alone_runs"]) == 0
    return only_row("alone")


def started(*before: str, iterations: int, parallel: str) -> "subprocess.Popen[str]":
    argv = [sys.executable, *before, str(ROOT / "run.py"), *COMMAND, "--iterations", str(iterations), "--parallel", parallel]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoints() -> None:
    """Until two processes have saved something."""
    until = time.monotonic() + 120
    while len(list(Path("runs").glob("*/checkpoint.*@*.pt"))) < 2:
        assert time.monotonic() < until, "no checkpoint was written"
        time.sleep(0.05)


@pytest.mark.slow
def test_rows_are_those_of_one_process_also_after_ctrl_c_and_with_other_numbers_of_processes() -> None:
    expected = alone(300)
    process = started(iterations=300, parallel="stages(processes=3)")
    wait_for_checkpoints()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "go on with" in told and "Traceback" not in told
    assert not Path("results/evaluate.csv").exists()
    (folder,) = Path("runs").glob("*/")
    assert run.main(["runs", "list"]) == 0
    assert run.main([*COMMAND, "--iterations", "300", "--parallel", "stages(processes=2,depth=2)"]) == 0
    row = only_row("results")
    assert {name: row[name] for name in SAME} == {name: expected[name] for name in SAME}
    assert history("results") == history("alone")
    assert row["parallel"] == "stages(processes=2,depth=2,replicas=1)" and len(row["process_stages"].split()) == 2
    assert 1 <= float(row["process_speedup_bound"]) <= 2 and float(row["process_speedup"]) > 0
    assert [path.name for path in folder.iterdir()] == ["trained.pt"]


@pytest.mark.slow
def test_replicas_write_one_history_whose_epochs_are_those_of_one_process() -> None:
    """Two replicas normalise by halves of a batch, so that losses differ; what is counted does not."""
    command = [*COMMAND, "--iterations", "120", "--batch-size", "64"]
    assert run.main([*command, "--results", "alone", "--runs", "alone_runs"]) == 0
    assert run.main([*command, "--parallel", "stages(processes=2,replicas=2)"]) == 0
    told, one = history("results"), history("alone")
    same = ("training", "seed", "iteration", "epoch", "scheduled_lr")
    assert [[row[name] for name in same] for row in told] == [[row[name] for name in same] for row in one] and len(told) > 1
    assert all(len(row["stage_losses"].split()) == 3 for row in told)
    row = only_row("results")
    assert row["replicas"] == "2" and row["validation_error"] == min((row["validation_error"] for row in told), key=float)


@pytest.mark.slow
def test_a_row_says_no_speed_up_where_not_all_stages_train_in_each_step() -> None:
    assert run.main([*COMMAND, "--iterations", "6", "--grow", "frozen", "--parallel", "stages(processes=2)"]) == 0
    row = only_row("results")
    assert row["process_stages"] and not row.get("process_speedup_bound") and not row.get("process_speedup")


@pytest.mark.slow
def test_torchrun_starts_a_killed_process_again_and_the_row_is_the_same() -> None:
    expected = alone(400)
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "2")
    process = started(*torchrun, iterations=400, parallel="stages(processes=2)")
    wait_for_checkpoints()
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    _, told = process.communicate(timeout=180)
    assert process.returncode == 0, told
    row = only_row("results")
    assert {name: row[name] for name in SAME} == {name: expected[name] for name in SAME}
    assert history("results") == history("alone")


def test_what_has_no_effect_or_cannot_be_parted_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv, says in (
        (["--methods", "backprop", "--parallel", "stages"], "one stage, which gradients join"),
        (["--methods", "man", "--parallel", "stages"], "reads those of stage 1"),
        (["--parallel", "stages(processes=4)"], "got 4 processes for dgl"),
        (["--parallel", "stages(processes=1)"], "got processes=1"),
        (["--parallel", "stages", "--workers", "2"], "got both"),
        (["--parallel", "stages(processes=1,replicas=3)", "--batch-size", "64"], "a multiple"),
    ):
        assert run.main([*COMMAND, *argv, "--iterations", "2"]) == 2
        told = capsys.readouterr().err
        assert says in told and len(told.strip().splitlines()) == 1, told
    assert not torch.distributed.is_initialized()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def can_be_two_hosts() -> bool:
    """Whether a process may have namespaces of its own, without the shared memory of others."""
    return subprocess.run(["unshare", "--ipc", "--uts", "true"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None or not can_be_two_hosts(), reason="no namespaces may be made here")
def test_two_hosts_exchange_carries_without_shared_memory() -> None:
    expected = alone(40)
    torchrun = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
    torchrun += ["--rdzv-endpoint", f"localhost:{free_port()}", "--rdzv-id", "two hosts"]
    argv = [*torchrun, str(ROOT / "run.py"), *COMMAND, "--iterations", "40", "--parallel", "stages(processes=2)"]
    apart = ["unshare", "--ipc", "--uts", sys.executable, *argv]
    with subprocess.Popen([sys.executable, *argv]) as one, subprocess.Popen(apart) as other:
        assert (one.wait(120), other.wait(120)) == (0, 0)
    row = only_row("results")
    assert {name: row[name] for name in SAME} == {name: expected[name] for name in SAME}
