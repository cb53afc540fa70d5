"""Peak activation memory and time of a training step of every local method, beside backprop and backprop with checkpointing.

    python benchmarks/local_methods.py --out results/benchmarks/local_methods.csv --device auto

resnet110 at K = 2, 4, 8, 16 (the published equal-layer cuts), batches of 32 images of 3 x 32 x 32, one thread. All take turns in
one process; seconds are the process's own on a CPU, which other programs disturb less, the wall clock's on a GPU.

seconds_ratio       median over the turns of the step's seconds over those of backprop in the same turn
memory_ratio        peak activation bytes, counted from shapes (nas/cost.py), over backprop's
params, macs        at inference, of one image; `head_params`, `head_macs` what training has beside them
pipeline_bound      MACs of all stages over those of the largest

Appends a row a method and K to the CSV.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from benchmarks.step_time import now
from methods.method import Method
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.cost import cost
from nas.device import read_device
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from spaces.decoupling import Decoupling
from spaces.network import PixelScale
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

INPUT_SHAPE, NUM_CLASSES = (3, 32, 32), 10
PIXELS = PixelScale((0.5,) * 3, (0.25,) * 3)
SPECS = (
    "greedy",
    "dgl",
    "predsim",
    "infopro",
    "infopro(loss=contrast)",
    "contsup(context=E)",
    "contsup(context=R1E)",
    "auglocal(depth=2)",
    "man(base=dgl)",
    "man(base=infopro)",
)
NUM_BLOCKS = (2, 4, 8, 16)


@dataclass(frozen=True)
class Loop:
    """A method on a decoupling."""

    method: str
    decoupling: Decoupling
    checkpoint_units: bool = False

    def build(self, space: SearchSpace) -> Method:
        """Freshly initialised."""
        torch.manual_seed(0)
        net = space.build(
            self.decoupling,
            checkpoint_units=self.checkpoint_units,
            pixels=PIXELS,
            head_lookahead=traits(self.method).head_lookahead,
        )
        return METHODS.build(self.method, net)


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/local_methods.csv")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--backbone", default="resnet110", help="a backbone that has published cuts")
    parser.add_argument("--batch-size", type=int, default=32, help="images a step")
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured, after one to warm up")
    arguments = parser.parse_args()
    space = SearchSpace(arguments.backbone, ["linear"], input_shape=INPUT_SHAPE, num_classes=NUM_CLASSES)
    source: dict[str, Cell] = {"threads": 1, "turns": arguments.turns, "device": device_name(arguments.device), **made_by()}
    rows = measured(space, arguments.batch_size, arguments.turns, arguments.device)
    ResultsLog(arguments.out).append_all([row | source for row in rows])


def loops(space: SearchSpace) -> Iterator[Loop]:
    """Backprop first, which the others are compared with."""
    yield Loop("backprop", Decoupling())
    yield Loop("backprop", Decoupling(), checkpoint_units=True)
    for num_blocks in NUM_BLOCKS:
        for spec in map(str, map(METHODS.resolve, SPECS)):
            asked = read_decoupling(f"published({num_blocks})", space, traits(spec).default_head)
            yield Loop(spec, traits(spec).adapt(asked))


def measured(space: SearchSpace, batch_size: int, turns: int, device: torch.device) -> list[dict[str, Cell]]:
    """A row for each loop."""
    wanted = list(loops(space))
    seconds = take_turns([loop.build(space) for loop in wanted], batch_size, turns, device)
    costs = [cost(lambda loop=loop: loop.build(space), INPUT_SHAPE, NUM_CLASSES, batch_size) for loop in wanted]  # type: ignore[misc]
    print(f"{space.backbone}, batches of {batch_size}\n{'method':86} K      ms  x backprop   MiB  x backprop  bound")
    rows: list[dict[str, Cell]] = []
    for loop, own, costs_of in zip(wanted, seconds, costs, strict=True):
        ratio = median(mine / reference for mine, reference in zip(own, seconds[0], strict=True))
        memory, checkpointed = costs_of.peak_activation_bytes, " checkpointed" * loop.checkpoint_units
        share = memory / costs[0].peak_activation_bytes
        print(
            f"{loop.method + checkpointed:84}{loop.decoupling.num_blocks:4}{1e3 * median(own):8.0f}{ratio:12.3f}"
            f"{memory / 2**20:6.1f}{share:12.3f}{costs_of.pipeline_speedup_bound:7.2f}",
            flush=True,
        )
        rows.append(
            {
                "backbone": str(space.backbone),
                "method": loop.method,
                "checkpoint_units": loop.checkpoint_units,
                "num_blocks": loop.decoupling.num_blocks,
                "decoupling": str(loop.decoupling),
                "batch_size": batch_size,
                "seconds": median(own),
                "seconds_ratio": ratio,
                "peak_activation_bytes": memory,
                "memory_ratio": share,
                "params": costs_of.params,
                "head_params": costs_of.head_params,
                "macs": costs_of.macs,
                "head_macs": costs_of.head_macs,
                "pipeline_bound": costs_of.pipeline_speedup_bound,
            }
        )
    return rows


def take_turns(methods: list[Method], batch_size: int, turns: int, device: torch.device) -> list[list[float]]:
    """The seconds of `turns` steps of each, after one to warm up; each turn runs all of them."""
    trainers = [Trainer(method, TrainingSettings(), seed=0, device=device) for method in methods]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch_size, *INPUT_SHAPE, generator=generator).to(device, memory_format=torch.channels_last)
    y = torch.arange(batch_size, device=device) % NUM_CLASSES
    seconds: list[list[float]] = [[] for _ in trainers]
    for _ in range(turns + 1):
        for trainer, row in zip(trainers, seconds, strict=True):
            started = now(device)
            trainer.step(x, y, iteration=0)
            row.append(now(device) - started)
    return [row[1:] for row in seconds]


if __name__ == "__main__":
    main()
