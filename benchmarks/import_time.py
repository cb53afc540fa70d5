"""How long the program takes to start: `run.py --help` and `run.py list`, beside `import torch`, which only the latter needs.

    python benchmarks/import_time.py --checkouts . ../before --out results/benchmarks/import_time.csv

Each is a process of its own, started in turns with the others, first once that is not counted, with the bytecode that it leaves.

checkout    the commit whose run.py was started, `-dirty` behind it where files were changed; torch's own has none
what        what was started
seconds     the median over `rounds` of the wall-clock time of the process; `fastest` and `slowest` of them beside it
beyond      the median over the rounds of that time less that of `import torch` in the same round

Appends a row for each to the CSV.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog

TORCH = ("", "import torch")
COMMANDS = ("--help", "list")


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/import_time.csv")
    parser.add_argument("--checkouts", type=Path, nargs="+", default=[Path(".")], help="folders with a run.py, the repository's")
    parser.add_argument("--rounds", type=int, default=11, help="how often each is started")
    arguments = parser.parse_args()
    commands = {TORCH: (Path("."), ["-c", "import torch"])}
    commands |= {
        (commit_of(folder), f"run.py {command}"): (folder, ["run.py", command])
        for folder in arguments.checkouts
        for command in COMMANDS
    }
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in commands}
    for one in range(arguments.rounds + 1):
        for key, command in commands.items():
            spent = seconds(*command)
            if one:
                taken[key].append(spent)
    source = {"rounds": arguments.rounds, "device": device_name(torch.device("cpu")), "cpus": os.cpu_count(), **made_by()}
    print("checkout        what            seconds  fastest  slowest   beyond")
    rows = [row(*key, times, taken[TORCH]) for key, times in taken.items()]
    ResultsLog(arguments.out).append_all(one | source for one in rows)


def row(checkout: str, what: str, times: list[float], of_torch: list[float]) -> dict[str, Cell]:
    """The figures of one, printed."""
    beyond = median(own - torch for own, torch in zip(times, of_torch, strict=True))
    print(f"{checkout:16}{what:16}{median(times):7.2f}{min(times):9.2f}{max(times):9.2f}{beyond:9.2f}")
    return {
        "checkout": checkout,
        "what": what,
        "seconds": round(median(times), 4),
        "fastest": round(min(times), 4),
        "slowest": round(max(times), 4),
        "beyond": round(beyond, 4),
    }


def commit_of(folder: Path) -> str:
    """The commit that the folder is at."""
    asked = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def seconds(folder: Path, arguments: list[str]) -> float:
    """How long a Python takes for them in the folder."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
