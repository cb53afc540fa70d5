"""Time, memory and pipelining of a training step on texts: Associated Learning and DGL beside backprop, on each text backbone.

    python benchmarks/text_step.py --out results/benchmarks/text_step.csv --device auto

Every layer a block, and the word embedding one, for 2, 3, 4 and 6 layers of 128 features. A batch has 64 texts of 48 to 64
tokens, as buckets of length make them. The methods of one backbone and depth take turns in one process; seconds are the
process's own on a CPU, which other programs disturb less, the wall clock's on a GPU.

seconds_ratio      median over the turns of the step's seconds over those of backprop in the same turn
memory_ratio       peak activation bytes, counted from shapes (nas/cost.py), over backprop's
tokens_per_second  of the batch's own tokens, padding left out
speedup_bound      median seconds of all stages over those of the slowest: what stages side by side can gain at most
speedup_of_macs    the same of multiply-accumulates

Appends a row a backbone, depth and method to the CSV.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
from spaces.activation import PADDING, TextShape
from spaces.named import read_space
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

INPUT_SHAPE, NUM_CLASSES = TextShape(length=64, num_words=10_000), 4
BATCH_SIZE, SHORTEST = 64, 48
METHODS_COMPARED = tuple(str(METHODS.resolve(spec)) for spec in ("backprop", "dgl", "al"))  # backprop first: the reference
BACKBONES = {"linear": "hidden=128", "lstm": "hidden=64", "transformer": "ffn=256"}


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/text_step.csv")
    parser.add_argument("--device", type=read_device, default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 3, 4, 6], help="how many layers behind the embedding")
    parser.add_argument("--turns", type=int, default=7, help="how often each is measured, after one to warm up")
    arguments = parser.parse_args()
    source: dict[str, Cell] = {
        "batch_size": BATCH_SIZE,
        "threads": 1,
        "turns": arguments.turns,
        "device": device_name(arguments.device),
        **made_by(),
    }
    print("backbone    layers  method        ms  x backprop    MiB  x backprop   tokens/s  bound  of MACs")
    rows = [
        row | source
        for name in BACKBONES
        for depth in arguments.depths
        for row in measured(name, depth, arguments.turns, arguments.device)
    ]
    ResultsLog(arguments.out).append_all(rows)


def measured(name: str, depth: int, turns: int, device: torch.device) -> list[dict[str, Cell]]:
    """A row for each method on the backbone with so many layers."""
    space = read_space(f"{name}(depth={depth},embedding=128,{BACKBONES[name]},num_blocks={depth + 1})", INPUT_SHAPE, NUM_CLASSES)
    x, y = batch(device)
    stages = take_turns([build(space, spec) for spec in METHODS_COMPARED], x, y, turns, device)
    steps = [[sum(turn) for turn in own] for own in stages]
    costs = [
        cost(lambda spec=spec: build(space, spec), INPUT_SHAPE, NUM_CLASSES, BATCH_SIZE)  # type: ignore[misc]
        for spec in METHODS_COMPARED
    ]
    rows: list[dict[str, Cell]] = []
    for spec, own, step, costs_of in zip(METHODS_COMPARED, stages, steps, costs, strict=True):
        medians = [median(seconds) for seconds in zip(*own, strict=True)]
        row: dict[str, Cell] = {
            "backbone": str(space.backbone),
            "depth": depth,
            "method": spec,
            "num_blocks": len(costs_of.blocks),
            "seconds": median(step),
            "seconds_ratio": median(mine / reference for mine, reference in zip(step, steps[0], strict=True)),
            "peak_activation_bytes": costs_of.peak_activation_bytes,
            "memory_ratio": costs_of.peak_activation_bytes / costs[0].peak_activation_bytes,
            "tokens_per_second": int((x != PADDING).sum()) / median(step),
            "speedup_bound": sum(medians) / max(medians),
            "speedup_of_macs": costs_of.pipeline_speedup_bound,
            "params": costs_of.params,
            "head_params": costs_of.head_params,
            "macs": costs_of.macs,
            "head_macs": costs_of.head_macs,
        }
        print(
            f"{name:12}{depth:6}  {spec.partition('(')[0]:8}{1e3 * median(step):8.1f}{row['seconds_ratio']:12.3f}"
            f"{costs_of.peak_activation_bytes / 2**20:7.1f}{row['memory_ratio']:12.3f}{row['tokens_per_second']:11.0f}"
            f"{row['speedup_bound']:7.2f}{row['speedup_of_macs']:9.2f}",
            flush=True,
        )
        rows.append(row)
    return rows


def build(space: SearchSpace, spec: str) -> Method:
    """The method on one block a unit, freshly initialised."""
    torch.manual_seed(0)
    point = traits(spec).adapt(read_decoupling("layerwise", space, traits(spec).default_head))
    return METHODS.build(spec, space.build(point))


def batch(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Random words, the longest text first."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, INPUT_SHAPE.num_words, (BATCH_SIZE, INPUT_SHAPE.length), generator=generator)
    lengths = torch.linspace(INPUT_SHAPE.length, SHORTEST, BATCH_SIZE).round()
    ids[torch.arange(INPUT_SHAPE.length) >= lengths[:, None]] = PADDING
    return ids.to(device), (torch.arange(BATCH_SIZE) % NUM_CLASSES).to(device)


def take_turns(
    methods: Sequence[Method], x: torch.Tensor, y: torch.Tensor, turns: int, device: torch.device
) -> list[list[list[float]]]:
    """The seconds of every stage in each of `turns` steps of each method, after one to warm up; each turn runs all of them."""
    trainers = [Trainer(method, TrainingSettings(optimizer="adam"), seed=0, device=device) for method in methods]
    seconds: list[list[list[float]]] = [[] for _ in trainers]
    for _ in range(turns + 1):
        for trainer, own in zip(trainers, seconds, strict=True):
            carry, stages = trainer.method.start(x, y), []
            for k in range(trainer.method.num_stages):
                started = now(device)
                carry, _ = trainer.stage_step(k, carry, y, 0)
                stages.append(now(device) - started)
            own.append(stages)
    return [own[1:] for own in seconds]


if __name__ == "__main__":
    main()
