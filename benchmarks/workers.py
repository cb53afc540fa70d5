"""Runs an hour of `evaluate` with 1, 2 and 4 workers, and of a Ray cluster of this machine that does two at once.

    python benchmarks/workers.py

One command trains `runs` runs of `iterations` iterations each on handwritten digits; its whole time counts, the start of Python,
of workers and of the cluster among them, which longer runs would not notice. All are measured in turns.

who              what does the runs: this process, local workers, or tasks of Ray
workers          how many runs there are at once
seconds          of the command, the median over `rounds`; `fastest` and `slowest` beside it
runs_per_hour    3600 x runs / seconds
speedup          of the first line's seconds over these, the median of the ratios within a round

Appends a row for each to the CSV.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog

ROOT = Path(__file__).resolve().parent.parent
CASES = (
    ("this process", 1, ()),
    ("local", 2, ("--workers", "2")),
    ("local", 4, ("--workers", "4")),
    ("ray", 2, ("--executor", "ray(address=local,cpus={share})")),
)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/workers/workers.csv")
    parser.add_argument("--runs", type=int, default=8, help="of each command")
    parser.add_argument("--iterations", type=int, default=100, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    arguments = parser.parse_args()
    taken: list[list[float]] = [[] for _ in CASES]
    for _ in range(arguments.rounds):
        for (_, _, flags), own in zip(CASES, taken, strict=True):
            own.append(timed(flags, arguments.runs, arguments.iterations))
    source = {
        "runs": arguments.runs,
        "iterations": arguments.iterations,
        "rounds": arguments.rounds,
        "device": device_name(torch.device("cpu")),
        "cpus": os.cpu_count(),
        **made_by(),
    }
    log = ResultsLog(arguments.out)
    print("who           workers  seconds  fastest  slowest  runs/h  speedup")
    for (who, workers, _), own in zip(CASES, taken, strict=True):
        speedup = median(alone / beside for alone, beside in zip(taken[0], own, strict=True))
        hourly = 3600 * arguments.runs / median(own)
        print(f"{who:14}{workers:7}{median(own):9.1f}{min(own):9.1f}{max(own):9.1f}{hourly:8.0f}{speedup:9.2f}")
        figures = {
            "who": who,
            "workers": workers,
            "seconds": round(median(own), 2),
            "fastest": round(min(own), 2),
            "slowest": round(max(own), 2),
            "runs_per_hour": round(hourly),
            "speedup": round(speedup, 3),
        }
        log.append({**figures, **source})


def timed(flags: tuple[str, ...], runs: int, iterations: int) -> float:
    """Seconds of one command, which begins without a row."""
    share = (os.cpu_count() or 1) / 2  # so that Ray has room for two
    command = [
        *(sys.executable, str(ROOT / "run.py"), "evaluate", "--space", "small", "--task", "digits", "--methods", "dgl"),
        *("--decoupling", "even(3)", "--seeds", str(runs), "--iterations", str(iterations), "--json"),
        *(flag.format(share=share) for flag in flags),
    ]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return time.perf_counter() - begun


if __name__ == "__main__":
    main()
