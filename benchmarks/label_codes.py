"""Whether Associated Learning's label codes give the label back when blocks are added one after the other.

    python benchmarks/label_codes.py --out results/benchmarks/label_codes.csv

The autoencoder half of a stage is given labels and no text or image, so how it learns is the same on all data of so many
classes. Each stage trains for its own window of iterations, those before it frozen. After it every class goes up and down the
chain: h_1 .. h_k g_k .. g_1. Where a class comes back as another, exit k answers wrong however good its features are.

Cases: the method's defaults, 8 blocks; then what explains why the AL thesis's IMDB runs fell below chance at depths 4 and 5.
Its learning rate, 1e-4 for 1570 iterations, moves a weight by about 0.157 at most with Adam,
here in fewer and larger steps. Were each stage's plateau schedule stepped in every epoch, also before its turn when nothing
could improve, a `share` was left: by the logged accuracies 1/64 when depth 4's turn came and 1/512 when depth 5's.

lost      runs of `seeds` in which a class came back as another
distance  median over the runs of the root mean square difference of two classes' codes, the first two
margin    the smallest over runs and classes of the right output of h_1 less the best other

Appends a row a case and depth to the CSV.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser, made_by
from methods.al import AL, AssociatedCarry
from methods.table import METHODS
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from spaces.activation import TextShape
from spaces.named import read_space
from spaces.rules import read_decoupling

BATCH_SIZE, CPU, INPUT_SHAPE = 64, torch.device("cpu"), TextShape(length=1, num_words=3)
OURS = TrainingSettings(iterations=200, batch_size=BATCH_SIZE, lr=0.005, optimizer="adam", weight_decay=0.0)
THESIS = replace(OURS, iterations=200, lr=0.157 / 200, schedule="multistep(milestones=[])")


@dataclass(frozen=True)
class Case:
    """`share` of the learning rate is left for the stages behind the first."""

    name: str
    method: str
    settings: TrainingSettings
    num_blocks: int
    num_classes: int = 2
    share: float = 1.0


CASES = (
    Case("ours", "al", OURS, 8),
    Case("ours", "al", OURS, 8, num_classes=14),
    *(Case("thesis", "al(first_decoder=bounded,code_error=mean)", THESIS, 5, share=share) for share in (1, 1 / 64, 1 / 512)),
)


@dataclass(frozen=True)
class Given:
    """What came back of the classes, and how far apart the first two codes are."""

    margin: float
    distance: float


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/label_codes.csv")
    parser.add_argument("--seeds", type=int, default=10, help="how many runs a case has")
    arguments = parser.parse_args()
    source: dict[str, Cell] = {"batch_size": BATCH_SIZE, **made_by()}
    print("case    classes    share  depth  lost  distance  margin")
    for case in CASES:
        rows = [row | source for row in measured(case, arguments.seeds)]
        ResultsLog(arguments.out).append_all(rows)


def measured(case: Case, seeds: int) -> Iterator[dict[str, Cell]]:
    """A row a depth."""
    runs = [list(grown(case, seed)) for seed in range(seeds)]
    for depth, of_depth in enumerate(zip(*runs, strict=True), start=1):
        row: dict[str, Cell] = {
            "case": case.name,
            "method": str(METHODS.resolve(case.method)),
            "num_classes": case.num_classes,
            "optimizer": case.settings.optimizer,
            "lr": case.settings.lr,
            "schedule": case.settings.schedule,
            "iterations": case.settings.iterations,
            "share": case.share,
            "depth": depth,
            "seeds": seeds,
            "lost": sum(given.margin <= 0 for given in of_depth),
            "distance": median(given.distance for given in of_depth),
            "margin": min(given.margin for given in of_depth),
        }
        print(
            f"{case.name:8}{case.num_classes:7}{case.share:9.4f}{depth:7}{row['lost']:6}{row['distance']:10.3f}{row['margin']:8.2f}",
            flush=True,
        )
        yield row


def grown(case: Case, seed: int) -> Iterator[Given]:
    """Train one stage after the other on random labels; after each, what comes back."""
    method = build(case, seed)
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(case.num_classes)
    for k in range(case.num_blocks):
        share = case.share if k else 1
        trainer = Trainer(method, replace(case.settings, lr=share * case.settings.lr), seed=seed, device=CPU)
        for iteration in range(case.settings.iterations):
            y = torch.randint(case.num_classes, (BATCH_SIZE,), generator=generator)
            with torch.no_grad():
                carry = carried(method, k, y)
            trainer.stage_step(k, carry, y, iteration)
        with torch.no_grad():
            yield given_back(method, k, carried(method, k + 1, classes).code, classes)


def build(case: Case, seed: int) -> AL:
    """The method on a network whose own features are next to nothing."""
    torch.manual_seed(seed)
    space = read_space(
        f"linear(depth={case.num_blocks - 1},embedding=1,hidden=1,num_blocks={case.num_blocks})", INPUT_SHAPE, case.num_classes
    )
    method = METHODS.build(case.method, space.build(read_decoupling("layerwise", space, "none")))
    assert isinstance(method, AL)
    return method


def carried(method: AL, depth: int, y: torch.Tensor) -> AssociatedCarry:
    """s and t that stage `depth` is given for these labels, each with the same one-word text."""
    carry = method.start(torch.ones(len(y), 1, dtype=torch.int64), y)
    for k in range(depth):
        carry = AssociatedCarry(method.run_block(k, carry).h, method.encoders[k](carry.code))
    return carry


def given_back(method: AL, k: int, codes: torch.Tensor, classes: torch.Tensor) -> Given:
    """The classes' codes t_k (C, label_dim) through h_k .. h_1."""
    distance = (codes[0] - codes[1]).square().mean().sqrt().item()
    for decoder in reversed(method.decoders[: k + 1]):
        codes = decoder(codes)
    right = codes.diagonal()
    wrong = codes.masked_fill(classes[:, None] == classes, -torch.inf).amax(1)
    return Given((right - wrong).min().item(), distance)


if __name__ == "__main__":
    main()
