"""How long a report of so many rows takes: the command that writes it, and a browser that opens it.

    python benchmarks/report_time.py --out results/benchmarks/report_time.csv

Rows are made up: methods on different decouplings, three seeds each, so that there are a third as many lines, and as many points
in each chart. The page is opened from the disk in Chromium, headless, without a GPU, each time by a new process; the counts of
rows take turns.

rows         of the evaluate.csv that is read
lines        of the fair table
page_mib     of the file that is written
command_s    `run.py report`, from its start to its end, the import of torch included
command_cpu_s  what of that is the process's own time; the rest it waited, as for other processes
text_s       from opening the page until its text and its table are there, by the page's own mark
interactive_s  until the page has loaded and answers to clicks and keys
chart_s      until the first chart is drawn
all_s        until all charts are drawn, which is done while nothing else is to do
slowest_interactive_s  of the rounds; all others are medians of them

Appends a row for each count to the CSV.
"""

from __future__ import annotations

import csv
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog

ROOT = Path(__file__).resolve().parent.parent
METHODS = ("dgl(label_smoothing=0.0)", "predsim(label_smoothing=0.0)", "greedy(label_smoothing=0.0)", "auglocal(depth=2)")
MARKS = "Object.fromEntries(performance.getEntriesByType('mark').map(mark => [mark.name, mark.startTime / 1000]))"
DRAWN = "[...document.querySelectorAll('.plot')].every(plot => plot.closest('[hidden]') || plot.querySelector('.main-svg'))"


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/report_time.csv")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1_000, 10_000], help="how many rows a report is of")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is written and opened")
    arguments = parser.parse_args()
    taken: dict[int, list[dict[str, float]]] = {count: [] for count in arguments.rows}
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.rows:
            many_rows(count, Path(folder) / f"{count}.csv")
        for _ in range(arguments.rounds):
            for count, rounds in taken.items():
                rounds.append(one_round(Path(folder) / f"{count}.csv", Path(folder) / f"{count}.html"))
    source = {"rounds": arguments.rounds, "device": device_name(torch.device("cpu")), "cpus": os.cpu_count(), **made_by()}
    print("rows      command_s    text_s  interactive_s   chart_s     all_s")
    for count, rounds in taken.items():
        figures = {name: round(median(one[name] for one in rounds), 3) for name in rounds[0]}
        figures["slowest_interactive_s"] = round(max(one["interactive_s"] for one in rounds), 3)
        row = {"rows": count, "lines": -(-count // 3), **figures}
        print(
            f"{count:<9}"
            + "".join(f"{row[name]:>10.2f}" for name in ("command_s", "text_s", "interactive_s", "chart_s", "all_s"))
        )
        ResultsLog(arguments.out).append(row | source)


def many_rows(count: int, path: Path) -> None:
    """Write a results file of so many rows that compare."""
    chance = random.Random(0)
    with open(path, "w", newline="") as file:
        writer = None
        for number in range(count):
            row = made_up(number // 3, number % 3, chance)
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)


def made_up(line: int, seed: int, chance: random.Random) -> dict[str, object]:
    """A row of the line of this number, of 32,000 that there are: a decoupling of its own for its method."""
    method, point = METHODS[line % len(METHODS)], line // len(METHODS)
    cuts = (1 + point % 5, 6 + point // 5 % 5, 11 + point // 25 % 5)
    heads = [f"conv(depth={1 + point // 125 // 4**place % 4},reduction=4)" for place in range(3)]
    error = 0.1 + 0.1 * chance.random()
    return {
        "method": method,
        "backbone": "resnet32(width=1.0)",
        "decoupling": " ".join(f"{cut}:{head}" for cut, head in zip(cuts, heads, strict=True)),
        "task": "cifar10(crop=4)",
        "seed": seed,
        "iterations": 700,
        "batch_size": 64,
        "lr": 0.1,
        "weight_decay": 0.0001,
        "optimizer": "sgd(momentum=0.9)",
        "schedule": "cosine(warmup=0.0)",
        "precision": "fp32",
        "checkpoint_units": False,
        "compile": "no",
        "num_blocks": 4,
        "params": 466_906,
        "head_params": 10_000 + point,
        "macs": 69_000_000,
        "head_macs": 1_000_000 + 1_000 * point,
        "peak_activation_bytes": 2**24 + 4096 * (point * 7919 % 5000),
        "pipeline_speedup_bound": 1.5 + point % 100 / 50,
        "status": "ok",
        "validation_error": error,
        "validation_loss": 0.7,
        "epochs": 1.0,
        "step_seconds": 0.05 + point * 31 % 1000 / 10_000,
        "test_error": error + 0.01 * chance.random(),
        "commit": "0123abc",
        "torch": "2.13.0",
        "time": "2026-01-01T00:00:00+00:00",
        "device": "a processor",
        "threads": 1,
        "command": f"python run.py evaluate --space resnet32 --task cifar10 --methods dgl predsim --seeds 3 --batch-size {64}",
    }


def one_round(rows: Path, page: Path) -> dict[str, float]:
    """Write the page and open it once."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "run.py", "report", str(rows), "--out", str(page)], cwd=ROOT, stdout=subprocess.DEVNULL, check=True
    )
    taken, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"page_mib": page.stat().st_size / 2**20, "command_s": taken, "command_cpu_s": own} | opened(page)


def opened(page: Path) -> dict[str, float]:
    """The page's own marks, in seconds since it was asked for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        tab: Any = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.as_uri())
        while not tab.evaluate(DRAWN):
            tab.wait_for_timeout(20)
        marks, now = tab.evaluate(MARKS), tab.evaluate("performance.now() / 1000")
        browser.close()
    return {
        "text_s": marks["page-text"],
        "interactive_s": marks["page-interactive"],
        "chart_s": marks["page-chart"],
        "all_s": now,
    }


if __name__ == "__main__":
    main()
