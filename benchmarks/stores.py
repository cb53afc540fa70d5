"""Appends a second of the results stores: a folder of CSV files and a PostgreSQL database, empty and with 5,000 rows.

    python benchmarks/stores.py --before ../before

A row is one of 54 columns as `evaluate` writes it, appended durably unless its run is there (`append_once`). Writers are
processes that begin together once each has read what is there; all stores and sizes are measured in turns. The PostgreSQL server
is one of the same machine, as it comes, reached by a socket: to another host each append takes the network's round trips longer.

checkout            the commit whose code appends; `--before` names an older one's folder, for its CSV store
store, rows         where, and how many rows are there before
writers             how many processes append at once
appends             of each writer
appends_per_second  of all writers together, the median over `rounds`; `slowest` and `fastest` of them beside it
milliseconds        of one append, the median over a writer's, and that over writers and rounds

Appends a row for each to the CSV.
"""

from __future__ import annotations

import csv
import itertools
import json
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
from benchmarks.import_time import commit_of
from benchmarks.postgres_server import empty_store, postgres_server
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog

ROOT = Path(__file__).resolve().parent.parent
LIKE = ROOT / "results" / "converged" / "evaluate.csv"
WRITER = """
import json, sys, time
from pathlib import Path
from statistics import median
place, writer, appends, row = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
if "://" in place:
    from nas.records.results import Results
    log = Results(place).log("evaluate.csv")
else:
    from nas.records.results_log import ResultsLog
    log = ResultsLog(Path(place) / "evaluate.csv")
log.find({"run": ""})
print("ready", flush=True)
sys.stdin.readline()
taken = []
for number in range(appends):
    begun = time.perf_counter()
    log.append_once({**row, "run": f"new {writer} {number}"}, {"run": f"new {writer} {number}"})
    taken.append(time.perf_counter() - begun)
print(1000 * median(taken), flush=True)
"""


def main() -> None:
    parser = benchmark_parser(__doc__, "results/stores/appends.csv")
    parser.add_argument("--before", type=Path, help="the folder of an older checkout, whose CSV store is measured as well")
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 5000], help="that are there before")
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 4], help="processes that append")
    parser.add_argument("--appends", type=int, default=100, help="of each writer")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    arguments = parser.parse_args()
    with open(LIKE, newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    stores = [("folder", ROOT), ("postgresql", ROOT)] + ([("folder", arguments.before)] if arguments.before else [])
    cases = list(itertools.product(stores, arguments.rows, arguments.writers))
    found: dict[tuple[tuple[str, Path], int, int], list[tuple[float, float]]] = {case: [] for case in cases}
    with postgres_server() as server:
        for _ in range(arguments.rounds):
            for (store, checkout), rows, writers in cases:
                with tempfile.TemporaryDirectory() as folder:
                    place = folder if store == "folder" else empty_store(server)
                    fill(place, row, rows)
                    rate = appended(checkout, place, writers, arguments.appends, row)
                found[(store, checkout), rows, writers].append(rate)
    source = {
        "appends": arguments.appends,
        "rounds": arguments.rounds,
        "device": device_name(torch.device("cpu")),
        "cpus": os.cpu_count(),
        **made_by(),
    }
    log = ResultsLog(arguments.out)
    print("checkout        store        rows  writers  appends/s  slowest  fastest      ms")
    for case, rates in found.items():
        log.append({**shown(*case, rates), **source})


def fill(place: str, row: dict[str, str], rows: int) -> None:
    """Put so many rows there, in one append."""
    from nas.records.results import Results

    Results(place).log("evaluate.csv").append_all([{**row, "run": f"old {number}"} for number in range(rows)])


def appended(checkout: Path, place: str, writers: int, appends: int, row: dict[str, str]) -> tuple[float, float]:
    """Appends a second of all writers, and the milliseconds of one."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, place, str(writer), str(appends), json.dumps(row)],
            cwd=checkout, env={**os.environ, "PYTHONPATH": "."}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for writer in range(writers)
    ]  # fmt: skip
    outputs, inputs = [one.stdout for one in processes if one.stdout], [one.stdin for one in processes if one.stdin]
    for output in outputs:
        assert output.readline() == "ready\n"
    begun = time.perf_counter()
    for given in inputs:
        given.write("go\n")
        given.flush()
    taken = [float(output.readline()) for output in outputs]
    seconds = time.perf_counter() - begun
    for process in processes:
        process.communicate()
    return writers * appends / seconds, median(taken)


def shown(store: tuple[str, Path], rows: int, writers: int, rates: list[tuple[float, float]]) -> dict[str, Cell]:
    """The figures of one case, printed."""
    per_second, milliseconds = [rate for rate, _ in rates], median(own for _, own in rates)
    commit = commit_of(store[1])
    print(
        f"{commit:16}{store[0]:11}{rows:6}{writers:9}{median(per_second):11.0f}{min(per_second):9.0f}{max(per_second):9.0f}"
        f"{milliseconds:8.2f}"
    )
    return {
        "checkout": commit,
        "store": store[0],
        "rows": rows,
        "writers": writers,
        "appends_per_second": round(median(per_second), 1),
        "slowest": round(min(per_second), 1),
        "fastest": round(max(per_second), 1),
        "milliseconds": round(milliseconds, 3),
    }


if __name__ == "__main__":
    main()
