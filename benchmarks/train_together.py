"""What it saves to train decouplings together that begin alike, beside training each alone; the weights are the same to the bit.

    python benchmarks/train_together.py

Seconds of one step of all runs of a set: alone, the sum over the runs of their median step; together, the median step of the
tree of their stages. Both are measured in turns in one process, on random images, since time does not depend on what they
show. `stages_alone` and `stages_together` count what a step trains. A row a case, medians over the turns.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from methods.method import Method
from methods.table import METHODS, traits
from methods.training.batches import Batch
from methods.training.loop import Progress, Trained, train
from methods.training.prefix_tree import train_together
from methods.training.settings import TrainingSettings
from nas.records.results_log import ResultsLog
from spaces.decoupling import Decoupling
from spaces.named import read_space

CPU = torch.device("cpu")
STEPS = 6
SMALL, VGG = "small(width=0.5,heads=[linear,'conv(depth=2)'],num_blocks={})", "vgg11(heads=[mlp_sr],num_blocks={})"
RESNET = "resnet32(heads=[mlp_sr],num_blocks={})"
CASES: dict[str, tuple[str, int | None]] = {  # the space, and how many of its decouplings are drawn; None for all
    "vgg11, all cuts into 1 to 4": (VGG.format([1, 4]), None),
    "vgg11, all cuts into 4": (VGG.format(4), None),
    "vgg11, 9 of those into 4": (VGG.format(4), 9),
    "small with two heads, all into 4": (SMALL.format(4), None),
    "small with two heads, 27 of those into 4": (SMALL.format(4), 27),
    "resnet32, 9 into 4": (RESNET.format(4), 9),
}


class RandomImages:
    """One batch of images of noise."""

    num_batches = 10**9

    def __init__(self, size: int) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(size, 3, 32, 32, generator=generator)
        self.x, self.y = x.contiguous(memory_format=torch.channels_last), torch.arange(size) % 10

    def batch(self, seed: int, iteration: int) -> Batch:
        return self.x, self.y

    def validation(self) -> Iterator[Batch]:
        yield self.x, self.y


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/train_together.csv")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--method", default="dgl")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    log, where = ResultsLog(arguments.out), made_by()
    settings = TrainingSettings(iterations=STEPS, batch_size=arguments.batch_size, lr=0.05, precision=arguments.precision)
    data = RandomImages(arguments.batch_size)
    for case in arguments.cases:
        points = drawn(*CASES[case])
        turns = [
            (
                alone(CASES[case][0], arguments.method, points, settings, data),
                together(CASES[case][0], arguments.method, points, settings, data),
            )
            for _ in range(arguments.turns)
        ]
        seconds_alone, seconds_together = (median(turn[place] for turn in turns) for place in (0, 1))
        row = {
            "case": case,
            "space": CASES[case][0],
            "method": arguments.method,
            "batch_size": arguments.batch_size,
            "precision": arguments.precision,
            "runs": len(points),
            "stages_alone": sum(point.num_blocks for point in points),
            "stages_together": len({stage for point in points for stage in stages(point)}),
            "seconds_alone": seconds_alone,
            "seconds_together": seconds_together,
            "ratio": median(one / other for one, other in turns),
            "turns": arguments.turns,
        }
        log.append({**row, **where})
        print({name: f"{value:.3g}" if isinstance(value, float) else value for name, value in row.items()}, flush=True)


def drawn(spec: str, count: int | None) -> list[Decoupling]:
    """Decouplings of the space."""
    points = list(read_space(spec, (3, 32, 32), 10).enumerate()) if count is None else []
    rng, space = random.Random(0), read_space(spec, (3, 32, 32), 10)
    while count is not None and len(points) < count:
        if (point := space.sample(rng)) not in points:
            points.append(point)
    return points


def stages(point: Decoupling) -> Iterator[tuple[object, ...]]:
    """What tells each stage apart: all cuts and heads up to its own, and whether it is the last."""
    for k in range(point.num_blocks):
        yield point.cuts[: k + 1], point.heads[: k + 1], k == point.num_blocks - 1


def build(spec: str, method: str, point: Decoupling) -> Method:
    torch.manual_seed(0)
    kind, space = traits(method), read_space(spec, (3, 32, 32), 10)
    return METHODS.build(method, space.build(kind.adapt(point), head_lookahead=kind.head_lookahead))


def alone(spec: str, method: str, points: list[Decoupling], settings: TrainingSettings, data: RandomImages) -> float:
    """Seconds of a step of all runs, each by itself."""
    return sum(
        train(build(spec, method, point), data, data.validation, settings, seed=0, device=CPU).step_seconds for point in points
    )


def together(spec: str, method: str, points: list[Decoupling], settings: TrainingSettings, data: RandomImages) -> float:
    """Seconds of a step of all runs in one go, from the second on, since in the first each is by itself."""
    times: list[float] = []

    def told(progress: Progress) -> None:
        times.append(time.perf_counter())

    methods = [build(spec, method, point) for point in points]
    answers = train_together(
        methods, data, data.validation, settings, seed=0, device=CPU, checkpoints=[None] * len(points), report=told
    )
    assert all(isinstance(answer, Trained) for answer in answers)
    return median(after - before for before, after in pairwise(times[:-1]))  # the last step has the validation


if __name__ == "__main__":
    main()
