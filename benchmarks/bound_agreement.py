"""How well two measurements of a pipeline's bound agree while other programs run, and what one costs.

    python benchmarks/bound_agreement.py --out results/side_by_side/bound_agreement.csv

`measured` is `methods.training.stages.seconds.stage_seconds`, as rows and `profile` have it: computed seconds, in turns,
until
known to 1.5 % or for two seconds of computing. `wall` is what rows had before: medians of five steps by the wall clock. Both take
turns, 20 runs of each, while as many other processes as there are cores train a convolution.

within_5   the share of all pairs of runs whose bounds differ by at most 5 %
spread     the standard deviation over the mean
seconds    that a measurement takes on this busy machine, beside `step_seconds` of one training step; medians

Appends a row a network and way. Takes some minutes.
"""

from __future__ import annotations

import sys
import time
from itertools import combinations
from pathlib import Path
from statistics import mean, median, pstdev

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.multiprocessing import get_context

from benchmarks.command import benchmark_parser, made_by
from methods.method import Method
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from methods.training.stages.seconds import stage_seconds
from methods.training.trainer import Trainer
from nas.cores import usable_cores
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from spaces.named import read_space
from spaces.rules import read_decoupling

CPU = torch.device("cpu")
CASES = {"small": ("even(3)", 64, (3, 8, 8)), "vgg19": ("5:mlp_sr", 128, (3, 32, 32))}
RUNS = 20


def main() -> None:
    parser = benchmark_parser(__doc__, "results/side_by_side/bound_agreement.csv")
    arguments = parser.parse_args()
    busy = [get_context("spawn").Process(target=keep_busy, daemon=True) for _ in range(usable_cores())]
    for process in busy:
        process.start()
    try:
        rows = [row for network in CASES for row in compared(network)]
    finally:
        for process in busy:
            process.kill()
    source: dict[str, Cell] = {"runs": RUNS, "other_processes": len(busy), "threads": 1, **made_by()}
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def compared(network: str) -> list[dict[str, Cell]]:
    """A row for each way of measuring."""
    split, batch_size, shape = CASES[network]
    space = read_space(network, shape, 10)
    method = METHODS.build("dgl", space.build(read_decoupling(split, space, "mlp_sr")))
    settings, x = TrainingSettings(batch_size=batch_size), torch.randn(batch_size, *shape)
    y = torch.arange(batch_size) % 10
    x = x.contiguous(memory_format=torch.channels_last)
    found: dict[str, list[tuple[float, float]]] = {"measured": [], "wall": []}
    steps = []
    for _ in range(RUNS):
        began = time.perf_counter()
        measured = stage_seconds(method, settings, x, y, device=CPU)
        found["measured"].append((measured.bound, time.perf_counter() - began))
        began = time.perf_counter()
        bound, step = by_wall_clock(method, settings, x, y)
        found["wall"].append((bound, time.perf_counter() - began))
        steps.append(step)
    rows = []
    for way, runs in found.items():
        bounds = [bound for bound, _ in runs]
        pairs = [abs(one - other) <= 0.05 * min(one, other) for one, other in combinations(bounds, 2)]
        row: dict[str, Cell] = {"network": network, "split": split, "batch_size": batch_size, "way": way}
        row |= {"bound": median(bounds), "within_5": mean(pairs), "spread": pstdev(bounds) / mean(bounds)}
        rows.append(row | {"seconds": median(seconds for _, seconds in runs), "step_seconds": median(steps)})
        print(", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{value}" for name, value in rows[-1].items()))
    return rows


def by_wall_clock(method: Method, settings: TrainingSettings, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """The bound from medians of five steps after one to warm up, and the seconds of a step."""
    trainer = Trainer(method, settings, seed=0, device=CPU)
    seconds: list[list[float]] = [[] for _ in range(method.num_stages)]
    for _ in range(6):
        carry = method.start(x, y)
        for k, row in enumerate(seconds):
            began = time.perf_counter()
            carry, _ = trainer.stage_step(k, carry, y, 0)
            row.append(time.perf_counter() - began)
    medians = [median(row[1:]) for row in seconds]
    return sum(medians) / max(medians), sum(medians)


def keep_busy() -> None:
    """As other users of the machine do."""
    torch.set_num_threads(1)
    layer, x = nn.Conv2d(32, 32, 3, padding=1), torch.randn(32, 32, 32, 32)
    while True:
        layer(x).sum().backward()


if __name__ == "__main__":
    main()
