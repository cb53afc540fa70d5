"""Several runs on one GPU: in processes side by side, against one after another."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu_parts.noise_images import noise_task
from benchmarks.gpu_parts.part import Case, Row, Setup, measuring

ROOT = Path(__file__).resolve().parents[2]
SPACES = ("vgg19", "resnet50")
PROCESSES = (1, 2, 4, 8)
RUNS, ITERATIONS = 8, 2000


def cases(setup: Setup) -> list[Case]:
    """A case a network and number of processes."""
    wanted = []
    for space in ("vgg11",) if setup.rehearse else SPACES:
        for processes in (2,) if setup.rehearse else PROCESSES:
            key = {"space": space, "processes": processes, "runs": 2 if setup.rehearse else RUNS}
            wanted.append(Case(key, lambda given=(setup, space, processes): [measured(*given)]))
    return wanted


def measured(setup: Setup, space: str, processes: int) -> Row:
    """One command that trains all runs; its whole time counts, the start of Python and of the processes among it."""
    runs, iterations = (2, 2) if setup.rehearse else (RUNS, ITERATIONS)
    with tempfile.TemporaryDirectory() as folder:
        task = noise_task(Path(folder) / "noise", 100 if setup.rehearse else 10_000)
        command = [
            *(sys.executable, str(ROOT / "run.py"), "evaluate", "--space", space, "--task", task, "--methods", "dgl"),
            *("--decoupling", "even(4)", "--seeds", str(runs), "--iterations", str(iterations)),
            *("--batch-size", "16" if setup.rehearse else "128", "--device", str(setup.device), "--discard-weights", "--json"),
            *(("--workers", str(processes)) if processes > 1 else ()),
        ]
        begun = time.perf_counter()
        done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(done.stderr[-200:])
    print(f"  {space}: {runs} runs of {iterations} steps, {processes} at a time: {seconds:.1f} s", flush=True)
    return {"iterations": iterations, "seconds": seconds, "runs_per_hour": 3600 * runs / seconds}


PART = measuring("at_once", "several runs on one GPU in processes, against one after another", cases)
