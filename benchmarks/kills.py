"""Kills of random workers that share one `evaluate` through a results store: is a row lost, doubled, or a run trained twice?

    python benchmarks/kills.py --store postgresql --kills 100

So many workers run the same command, each a process of its own with its own connection, and share a folder of runs. Again and
again one of them is killed (SIGKILL), every other time as soon as it has a run, after a random wait, and another is started in
its place. After the last kill they finish. Then the rows are compared with those of an undisturbed process in a store of its own,
and with what each worker noted when it had trained a run to the end and its row was answered for. Workers are forked from a
process that has imported all and trained nothing, so that they begin at once.

store, workers, kills   where rows lie, how many processes work at a time, how many were killed
with_a_claim            of the killed, how many had a run just then
runs                    that the command asks for
rows_lost               rows that were seen there at some time and are not in the end, and runs without one
rows_doubled            rows too many of a run
trained_twice           runs that two workers trained to the end, each up to its row
differing               rows of which a figure, or the weights' digest, is not that of the undisturbed run
seconds                 from the first worker to the last

Appends a row to the CSV.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from benchmarks.postgres_server import empty_store, postgres_server
from nas.cli.main import main as program
from nas.commands.evaluate import EvaluateOptions, Evaluation
from nas.commands.option import read_options
from nas.evaluation.evaluator import Evaluator
from nas.problem import silent
from nas.records.columns import COLUMNS, Role
from nas.records.provenance import device_name
from nas.records.results import Results
from nas.records.results_log import ResultsLog

ASKED: dict[str, Any] = {
    "space": "small(width=0.25)",
    "task": "digits",
    "methods": ["dgl", "greedy"],
    "decoupling": ["even(2)", "even(3)"],
}
PATIENCE = 20.0  # seconds for which a victim is waited for to have a run
TIMED = ("step_seconds", "pipeline_speedup_bound")  # figures that no two runs share


def main() -> None:
    parser = benchmark_parser(__doc__, "results/stores/kills.csv")
    parser.add_argument("--store", choices=["postgresql", "folder"], default="postgresql", help="where rows lie")
    parser.add_argument("--kills", type=int, default=100, help="how many workers are killed")
    parser.add_argument("--workers", type=int, default=3, help="how many work at a time")
    parser.add_argument("--seeds", type=int, default=25, help="of each of the four methods and decouplings")
    parser.add_argument("--iterations", type=int, default=10, help="of each run")
    parser.add_argument("--pause", type=float, default=0.5, help="the longest random wait before a kill, in seconds")
    arguments = parser.parse_args()
    asked = ASKED | {"seeds": arguments.seeds, "iterations": arguments.iterations}
    command = ["evaluate"]
    for name, value in asked.items():
        command += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        Evaluation(read_options(EvaluateOptions, {**asked, "results": work / "none"}), silent, "")  # imports, and reads the data
        undisturbed = started(
            [*command, "--results", str(work / "alone"), "--runs", str(work / "alone_runs")], work / "alone.txt"
        )
        assert os.waitstatus_to_exitcode(os.waitpid(undisturbed, 0)[1]) == 0
        place = empty_store(stack.enter_context(postgres_server())) if arguments.store == "postgresql" else str(work / "results")
        shared = [*command, "--results", place, "--runs", str(work / "runs")]
        begun = time.monotonic()
        figures = disturbed(shared, Results(place), work, arguments.workers, arguments.kills, arguments.pause)
        seconds = time.monotonic() - begun
        figures |= compared(Results(work / "alone"), Results(place), work / "trained.txt", figures.pop("seen"))
    row = {
        "store": arguments.store,
        "workers": arguments.workers,
        "kills": arguments.kills,
        **figures,
        "seconds": round(seconds, 1),
    }
    print(" ".join(f"{name}={value}" for name, value in row.items()))
    ResultsLog(arguments.out).append({**row, "device": device_name(torch.device("cpu")), "cpus": os.cpu_count(), **made_by()})


def started(command: list[str], trace: Path) -> int:
    """A worker's process, which notes in `trace` what it has trained up to its row."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        append = Evaluator._append

        def noted(evaluator: Evaluator, row: Any, key: Any) -> dict[str, str]:
            appended = append(evaluator, row, key)
            file = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            os.write(file, f"{os.getpid()} {appended['run']}\n".encode())
            os.close(file)
            return appended

        Evaluator._append = noted  # type: ignore[method-assign]
        with open(trace.with_suffix(".out"), "a") as out, redirect_stdout(out), redirect_stderr(out):
            code = program(command)
    finally:
        os._exit(code)


def disturbed(command: list[str], results: Results, work: Path, workers: int, kills: int, pause: float) -> dict[str, Any]:
    """Work, and kill, to the end: how many of the killed had a run, and the runs whose rows were seen."""
    generator, log = random.Random(0), results.log("evaluate.csv")
    running = [started(command, work / "trained.txt") for _ in range(workers)]
    seen: set[str] = set()
    with_a_claim = 0
    for number in range(kills):
        victim = running.pop(generator.randrange(len(running)))
        patience = time.monotonic() + (PATIENCE if number % 2 else 0.0)
        while time.monotonic() < patience and not has_a_run(results, work / "runs", victim):
            time.sleep(0.01)
        time.sleep(generator.uniform(0.0, pause))
        with_a_claim += has_a_run(results, work / "runs", victim)
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
        seen |= {row["run"] for row in log.rows()}
        running.append(started(command, work / "trained.txt"))
    for worker in running:
        code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        assert code == 0, (work / "trained.out").read_text()[-2000:]
    return {"with_a_claim": with_a_claim, "seen": seen}


def has_a_run(results: Results, runs: Path, process: int) -> bool:
    """Whether the process has a run of which something lies there."""
    holders = [results.claim(place).holder() or "" for place in {one.with_suffix("") for one in runs.glob("*")}]
    return any(holder.startswith(f"process {process} on") for holder in holders)


def compared(alone: Results, shared: Results, trace: Path, seen: set[str]) -> dict[str, Any]:
    """What is wrong in the end."""
    wanted = {row["run"]: row for row in alone.log("evaluate.csv").rows()}
    rows = shared.log("evaluate.csv").rows()
    there = Counter(row["run"] for row in rows)
    ended = Counter(line.split()[1] for line in trace.read_text().splitlines())
    figures = [name for name, column in COLUMNS.items() if column.role in (Role.FIGURE, Role.IDENTITY) and name not in TIMED]
    return {
        "runs": len(wanted),
        "rows_lost": len((seen | set(wanted)) - set(there)),
        "rows_doubled": sum(count - 1 for count in there.values()),
        "trained_twice": sum(count > 1 for count in ended.values()),
        "differing": sum(any(row.get(name) != wanted.get(row["run"], {}).get(name) for name in figures) for row in rows),
    }


if __name__ == "__main__":
    main()
