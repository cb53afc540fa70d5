"""How near each way to compute the hypergradient comes to the exact one, and how far apart exact ones of other batches are.

    python benchmarks/gradient_quality.py --out results/benchmarks/gradient_quality.csv

The relaxed network of the ground truth's space on CIFAR-10, after some plain training steps. Exact is `adjoint` in float64. A row
for each T, learning rate and way: the mean over the draws of batches of the cosine of (alpha, beta) gradients and of the ratio of
their norms. `other batches` is the exact gradient of other inner and outer batches at the same weights: what is lost to the noise
of small batches.
`bfloat16` is `adjoint` with all forward passes under autocast, `N of M gaps` goes back through a sample of the gaps, which is
right on average. `variance` is the mean of |found - exact|^2 / |exact|^2. Each draw has its own random
alpha and beta, the same for all T and rates. The data folder is NAS_DATA_DIR.
"""

from __future__ import annotations

import copy
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.command import benchmark_parser
from benchmarks.regret import table_problem
from nas.problem import Problem
from nas.records.log import Cell
from nas.records.provenance import device_name, provenance
from nas.records.results_log import ResultsLog
from nas.strategies.sedona.bilevel import Batch, Bilevel
from nas.strategies.sedona.engines import ENGINES
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.relaxed_training import RelaxedTraining, outer_batches
from nas.strategies.sedona.sampling import Sampling

WARM_UP, INNER_BATCH, OUTER_BATCH = 400, 64, 256


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/gradient_quality.csv")
    parser.add_argument("--table", type=Path, default=Path("results/tabular/small_cifar10.csv"), help="whose space")
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 5, 20], metavar="T", help="how many inner steps")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.05, 0.005], help="inner learning rates")
    parser.add_argument("--draws", type=int, default=4, help="how many draws of batches")
    arguments = parser.parse_args()
    problem = table_problem(arguments.table, None)
    problem = replace(problem, settings=replace(problem.settings, batch_size=INNER_BATCH))
    training = RelaxedTraining(problem, "validation", 0.1, WARM_UP)
    num_gaps, num_heads = len(problem.space.gaps), len(problem.space.heads)
    undecided = Architecture.zeros(num_gaps, num_heads, device=problem.device)
    for step in range(WARM_UP):
        training.step(undecided, step, training.batches.batch(0, step), seed=step)
    where: dict[str, Cell] = {
        **provenance(),
        "device": device_name(problem.device),
        "threads": 1,
        "command": shlex.join(["python", *sys.argv]),
    }
    log = ResultsLog(arguments.out)
    for lr in arguments.rates:
        for num_steps in arguments.steps:
            rows = compared(training, problem, num_steps, lr, arguments.draws)
            log.append_all(
                [{"num_steps": num_steps, "lr": lr, "warm_up": WARM_UP, "draws": arguments.draws, **row, **where} for row in rows]
            )


def compared(training: RelaxedTraining, problem: Problem, num_steps: int, lr: float, draws: int) -> list[dict[str, Cell]]:
    """A row a way."""
    for group in training.optimizer.param_groups:
        group["lr"] = lr
    found: dict[str, list[torch.Tensor]] = {}
    for draw in range(draws):
        gradient = partial(flat_gradient, training, *drawn(problem, num_steps, draw))
        found.setdefault("exact", []).append(gradient("adjoint", dtype=torch.float64))
        found.setdefault("adjoint", []).append(gradient("adjoint"))
        found.setdefault("identity", []).append(gradient("identity"))
        found.setdefault("bfloat16", []).append(gradient("adjoint", precision="bf16"))
        found.setdefault("identity in bfloat16", []).append(gradient("identity", precision="bf16"))
        for gaps in range(1, len(problem.space.gaps)):
            sampling = Sampling(
                len(problem.space.gaps), len(problem.space.heads), gaps, None, torch.Generator().manual_seed(draw)
            )
            name = f"{gaps} of {len(problem.space.gaps)} gaps"
            found.setdefault(name, []).append(gradient("adjoint", sampling=sampling))
    exact = found.pop("exact")
    found["other batches"] = [*exact[1:], exact[0]]
    rows: list[dict[str, Cell]] = []
    for name, gradients in found.items():
        cosines = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in zip(gradients, exact, strict=True)]
        norms = [float(a.norm() / b.norm()) for a, b in zip(gradients, exact, strict=True)]
        apart = [float(((a - b).norm() / b.norm()) ** 2) for a, b in zip(gradients, exact, strict=True)]
        row = {"way": name, "cosine": sum(cosines) / draws, "lowest_cosine": min(cosines), "norm_ratio": sum(norms) / draws}
        row |= {"variance": sum(apart) / draws}
        print(
            f"lr {lr:<6} T = {num_steps:2}  {name:14} cosine {row['cosine']:7.4f} (lowest {row['lowest_cosine']:7.4f})   norm "
            f"{row['norm_ratio']:6.3f}",
            flush=True,
        )
        rows.append(row)
    return rows


def drawn(problem: Problem, num_steps: int, draw: int) -> tuple[Architecture, list[Batch], Batch]:
    """Alpha and beta, and inner and outer batches that no other draw has."""
    generator = torch.Generator().manual_seed(draw)
    shapes = (len(problem.space.gaps), 2), (len(problem.space.gaps), len(problem.space.heads))
    architecture = Architecture(*(0.5 * torch.randn(shape, generator=generator).to(problem.device) for shape in shapes))
    batches = problem.data.train_batches(INNER_BATCH)
    inner = [batches.batch(1, draw * num_steps + t) for t in range(num_steps)]
    return architecture, inner, outer_batches(problem, OUTER_BATCH).batch(1, draw)


def flat_gradient(
    training: RelaxedTraining,
    architecture: Architecture,
    inner: list[Batch],
    outer: Batch,
    engine: str,
    *,
    dtype: torch.dtype = torch.float32,
    **how: Any,
) -> torch.Tensor:
    """The gradient of alpha and beta as one float64 vector."""
    relaxation, optimizer = copy.deepcopy((training.relaxation, training.optimizer))
    relaxation.to(dtype)
    for state in optimizer.state.values():
        state["momentum_buffer"] = state["momentum_buffer"].to(dtype)
    moved = Architecture(architecture.alpha.to(dtype), architecture.beta.to(dtype))
    result = ENGINES[engine](
        Bilevel(relaxation, optimizer, moved, [(x.to(dtype), y) for x, y in inner], (outer[0].to(dtype), outer[1]), **how)
    )
    return torch.cat([result.alpha_grad.flatten(), result.beta_grad.flatten()]).double()


if __name__ == "__main__":
    main()
