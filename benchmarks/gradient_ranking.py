"""What SEDONA's gradient knows of the true errors, against its seconds: exact, in bfloat16, sampled, longer, on more images.

    python benchmarks/gradient_ranking.py --out results/benchmarks/gradient_ranking.csv

The relaxed network of a truth table's space, after pretraining, alpha = beta = 0 and not learning: the mean of the gradients of n
draws of batches says how much the outer loss would rise with each cut and head, and so ranks all decouplings of the table by
their sums. A row a seed, way and n: `rho`, Spearman's rho with the true errors among decouplings of equally many blocks, mean
over K from 2 on; `rho_cuts`, among the sets of cuts alone, errors averaged over heads; `right_heads`, the share of gaps where the
head that it prefers is the one of the lower mean true error; `agreement`, the cosine between the mean gradients of every second
draw and of the others, which is the noise that is left; and the seconds of the n gradients, the process's own.
Where the agreement is high and rho is not, more draws do not help: what is derived is not what the table measures.

The ways take turns, draw by draw. At the end the means over the seeds are printed, and drawn beside --out. The data folder is
NAS_DATA_DIR.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.command import benchmark_parser, made_by
from benchmarks.regret import table_problem
from nas.evaluation.tabular import Tabular
from nas.evaluation.truth import by_num_blocks, errors, rank_correlation
from nas.problem import Problem
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from nas.strategies.sedona.bilevel import Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.relaxed_training import RelaxedTraining, outer_batches
from nas.strategies.sedona.sampling import Sampling
from spaces.decoupling import Decoupling

PRETRAIN, LR = 400, 0.1


@dataclass(frozen=True)
class Way:
    """How a gradient is computed; the sizes of the inner batches are multiples of the table's."""

    engine: str = "adjoint"
    num_steps: int = 5
    times_batch: int = 1
    outer_batch: int = 512
    precision: Literal["fp32", "bf16"] = "fp32"
    sample_gaps: int | None = None
    rate: float = 0.02  # inner learning rate, in the cosine's last third


WAYS = {
    "adjoint": Way(),
    "adjoint, bf16": Way(precision="bf16"),
    "adjoint, 2 of 5 gaps": Way(sample_gaps=2),
    "identity": Way(engine="identity"),
    "identity, batch x 4": Way(engine="identity", times_batch=4),
    "identity, T = 1": Way(engine="identity", num_steps=1),
}


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/gradient_ranking.csv")
    parser.add_argument("--table", type=Path, default=Path("results/tabular/small_cifar10.csv"), help="as for regret.py")
    parser.add_argument("--seeds", type=int, default=2, help="pretrainings, seeds 0..N-1")
    parser.add_argument("--draws", type=int, default=16, help="gradients of each way, a power of 2")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS), help="which ways")
    arguments = parser.parse_args()
    problem = table_problem(arguments.table, None)
    truth = errors(Tabular(problem, arguments.table).rows)
    log, rows = ResultsLog(arguments.out), list[dict[str, Cell]]()
    for seed in range(arguments.seeds):
        training = pretrained(problem, seed)
        found: dict[str, list[tuple[float, torch.Tensor]]] = {name: [] for name in arguments.ways}
        for draw in range(arguments.draws):
            for name in arguments.ways:
                started = time.process_time()
                gradient = gradient_of(WAYS[name], training, problem, seed, draw)
                found[name].append((time.process_time() - started, gradient))
        for name, gradients in found.items():
            made = [row(problem, truth, gradients[:n]) for n in powers(len(gradients))]
            rows += [{"way": name, "seed": seed, "table_rows": truth.size, **own} for own in made]
            print(pd.DataFrame(rows[-len(made) :]).round(3).to_string(index=False), flush=True)
    log.append_all([own | {"device": device_name(problem.device), "threads": 1, **made_by()} for own in rows])
    means = pd.DataFrame(rows).groupby(["way", "draws"], sort=False).mean(numeric_only=True)
    print(means.drop(columns=["seed", "table_rows"]).round(3).to_string())
    plot(means.reset_index(), arguments.out.with_suffix(".png"))


def pretrained(problem: Problem, seed: int) -> RelaxedTraining:
    """As a search's pretraining: every gap half cut, every head alike."""
    training = RelaxedTraining(problem, "validation", LR, PRETRAIN)
    undecided = Architecture.zeros(len(problem.space.gaps), len(problem.space.heads), device=problem.device)
    for step in range(PRETRAIN):
        training.step(undecided, step, training.batches.batch(seed, step), seed=step)
    return training


def gradient_of(way: Way, training: RelaxedTraining, problem: Problem, seed: int, draw: int) -> torch.Tensor:
    """(G, 1 + H): how the outer loss moves as each gap is cut more, and as each of its heads is used more."""
    space = problem.space
    batches = problem.data.train_batches(way.times_batch * problem.settings.batch_size)
    inner = [batches.batch(seed, PRETRAIN + draw * way.num_steps + t) for t in range(way.num_steps)]
    generator = torch.Generator().manual_seed(draw)
    sampling = way.sample_gaps and Sampling(len(space.gaps), len(space.heads), way.sample_gaps, None, generator)
    for group in training.optimizer.param_groups:
        group["lr"] = way.rate
    torch.manual_seed(draw)
    found = ENGINES[way.engine](
        Bilevel(
            training.relaxation,
            training.optimizer,
            Architecture.zeros(len(space.gaps), len(space.heads), device=problem.device),
            inner,
            outer_batches(problem, way.outer_batch).batch(seed, draw),
            precision=way.precision,
            sampling=sampling or None,
        )
    )
    return torch.cat([(found.alpha_grad[:, :1] - found.alpha_grad[:, 1:]) / 2, found.beta_grad], dim=1).double()


def row(problem: Problem, truth: pd.DataFrame, gradients: list[tuple[float, torch.Tensor]]) -> dict[str, Cell]:
    """What the mean of the gradients says of the truth."""
    means = [torch.stack([g for _, g in part]).mean(0) for part in (gradients, gradients[::2], gradients[1::2]) if part]
    agreement = float(torch.cosine_similarity(*(mean.flatten() for mean in means[1:]), dim=0)) if len(means) == 3 else None
    return {
        "draws": len(gradients),
        "seconds": sum(seconds for seconds, _ in gradients),
        "rho": within(truth, rise(problem, means[0], with_heads=True), lambda point: str(point)),
        "rho_cuts": within(truth, rise(problem, means[0], with_heads=False), lambda point: str(point.cuts)),
        "right_heads": right_heads(problem, truth, means[0]),
        "agreement": agreement,
    }


def rise(problem: Problem, gradient: torch.Tensor, *, with_heads: bool) -> Callable[[Decoupling], float]:
    """How much the gradient says that the outer loss is higher with this decoupling than with none."""
    gaps, heads = list(problem.space.gaps), list(problem.space.heads)

    def of(point: Decoupling) -> float:
        at = [(gaps.index(gap), heads.index(head)) for gap, head in zip(point.cuts, point.heads, strict=True)]
        return float(sum(gradient[j, 0] + (gradient[j, 1 + d] if with_heads else 0.0) for j, d in at))

    return of


def within(truth: pd.DataFrame, score: Callable[[Decoupling], float], key: Callable[[Decoupling], Any]) -> float:
    """Spearman's rho among decouplings of equally many blocks, those of one key averaged; the mean over the numbers of blocks."""
    found = []
    for part in by_num_blocks(truth).values():
        points = {text: Decoupling.parse(text) for text in part.index}
        merged = part.groupby(part.index.map(lambda text, points=points: key(points[text]))).mean()
        scores = {key(point): score(point) for point in points.values()}
        if len(merged) > 2:
            found.append(rank_correlation(scores, merged))
    return fmean(found)


def right_heads(problem: Problem, truth: pd.DataFrame, gradient: torch.Tensor) -> float:
    """The share of gaps where the head whose weight lowers the outer loss most is that of the lowest mean true error."""
    space, true = problem.space, truth.mean(axis=1)
    cuts = {text: dict(zip(point.cuts, point.heads, strict=True)) for text in truth.index if (point := Decoupling.parse(text))}
    right = []
    for j, gap in enumerate(space.gaps):
        of_heads = [true[[cuts[text].get(gap) == head for text in truth.index]].mean() for head in space.heads]
        right.append(of_heads.index(min(of_heads)) == int(gradient[j, 1:].argmin()))
    return fmean(right)


def powers(most: int) -> list[int]:
    """1, 2, 4, ... up to the number of draws."""
    return [2**i for i in range(most.bit_length())]


def plot(means: pd.DataFrame, path: Path) -> None:
    """rho against seconds, a line a way."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, own in means.groupby("way", sort=False):
        axes.plot(own["seconds"], own["rho"], marker="o", markersize=3, label=name)
    axes.set(xscale="log", xlabel="seconds of gradients, one core", ylabel="Spearman's rho with the truth, within K")
    axes.axhline(0, color="0.8", linewidth=1)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
