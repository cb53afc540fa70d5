"""How well SEDONA ranks decouplings whose true error is known, by each engine, all for the same seconds.

    python benchmarks/sedona_truth.py --table results/tabular/small_cifar10.csv --out results/benchmarks/sedona_truth.csv

Each variant learns alpha and beta on the table's images and space for as many meta-steps as fit --seconds (one is timed first),
from a weight memory that all variants of a seed share. A row for each number of blocks K: the decoupling that alpha and beta
point at, its regret (true error less that of the best decoupling of the same K) and its rank among them, its peak memory, and
Spearman's rho between -log P(decoupling | alpha, beta) and the true errors, among those of K blocks (`rho`) and among all that
the search could have answered with (`rho_all`). `recommended` marks the K of the lowest validation error; `equivalent_trainings`
are the seconds of pretraining and meta-learning over those of one training, plus the training of the answer. benchmarks/regret.py
draws the answers beside other strategies. Started again, it goes on. The data folder is NAS_DATA_DIR.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd
import torch

from benchmarks.regret import table_problem
from nas.problem import Problem, silent
from nas.provenance import device_name, provenance
from nas.results import Cell, ResultsLog
from nas.strategies.sedona.decisions import discretise
from nas.strategies.sedona.expected_cost import log_probability
from nas.strategies.sedona.meta_learning import MetaLearning
from nas.strategies.sedona.pretraining import Pretraining
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.settings import Settings
from nas.tabular import Tabular
from nas.truth import errors, rank_correlation, regrets

COMMON = Settings(pretrain=400, inner_steps=5, memory=25, eviction="oldest", lr=0.1, meta_lr=0.05, outer_batch=512)
VARIANTS: dict[str, tuple[Settings, int | None]] = {  # and the number of blocks that the search is conditioned on, if any
    "adjoint": (COMMON, None),
    "identity": (replace(COMMON, engine="identity"), None),
    "identity, batch x 4": (replace(COMMON, engine="identity", inner_batch=256), None),
    "adjoint, K = 4": (COMMON, 4),
    "adjoint, memory_weight=1": (replace(COMMON, memory_weight=1.0), None),
    "released objective": (replace(COMMON, objective="train"), None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path("results/tabular/small_cifar10.csv"), help="as for regret.py")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/sedona_truth.csv"), help="the CSV file")
    parser.add_argument("--seconds", type=float, default=40.0, help="of meta-learning, for each variant alike")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each variant, seeds 0..N-1")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), help="which variants")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where weight memories lie")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    problems = {num_blocks: replace(table_problem(arguments.table, num_blocks), runs=arguments.runs, results=arguments.runs)
                for _, num_blocks in VARIANTS.values()}
    problem = problems[None]
    log, rows = ResultsLog(arguments.out), Tabular(problem, arguments.table).rows
    where: dict[str, Cell] = {**provenance(), "device": device_name(problem.device), "threads": 1,
                              "command": shlex.join(["python", *sys.argv])}
    training_seconds = median(float(row["step_seconds"]) * problem.settings.iterations for row in rows if row["status"] == "ok")
    for seed in range(arguments.seeds):
        for name in arguments.variants:
            key: dict[str, Cell] = {"engine": name, "seed": seed, "budget_seconds": arguments.seconds, "table_rows": len(rows)}
            if log.find(key) is None:
                settings, num_blocks = VARIANTS[name]
                found = answers(settings, replace(problems[num_blocks], seed=seed), arguments.seconds, rows, arguments.table,
                                training_seconds)
                log.append_all([{**key, **answer, **where} for answer in found])


def answers(settings: Settings, problem: Problem, budget: float, rows: list[dict[str, str]], table: Path,
            training_seconds: float) -> list[dict[str, Cell]]:
    """Search, and compare with the truth: a row for each number of blocks."""
    architecture, num_steps, seconds = searched(settings, problem, budget)
    space = problem.space
    test_errors = errors(rows).loc[[str(point) for point in space.enumerate()]]
    scores = {str(point): -float(log_probability(architecture, space, point)) for point in space.enumerate()}
    tabular = Tabular(problem, table)
    points = [discretise(architecture, space, num_blocks) for num_blocks in space.block_counts]
    best = min(points, key=lambda point: tabular(point).error)
    found: list[dict[str, Cell]] = []
    for point in points:
        same = [str(other) for other in space.enumerate() if other.num_blocks == point.num_blocks]
        among, regret = test_errors.loc[same], regrets(test_errors.loc[same])
        found.append({
            "meta_steps": num_steps, "seconds": seconds, "training_seconds": training_seconds,
            "equivalent_trainings": seconds / training_seconds + 1, "num_blocks": point.num_blocks, "decoupling": str(point),
            "recommended": point == best, "num_points": len(same), "regret": float(regret[str(point)]),
            "regret_all": float(regrets(test_errors)[str(point)]), "rank": int((regret < regret[str(point)]).sum()) + 1,
            "mean_regret": float(regret.mean()), "peak_activation_bytes": tabular(point).peak_activation_bytes,
            "rho": rank_correlation(scores, among) if len(same) > 2 else None, "rho_all": rank_correlation(scores, test_errors),
        })
    shown = pd.DataFrame(found)[["num_blocks", "decoupling", "regret", "mean_regret", "rank", "num_points", "rho", "rho_all"]]
    print(f"\nseed {problem.seed}, {settings.engine}, {settings.objective}, T = {settings.inner_steps}: {num_steps} meta-steps, "
          f"{seconds:.0f} s\n{shown.to_string(index=False)}", flush=True)
    return found


def searched(settings: Settings, problem: Problem, budget: float) -> tuple[Architecture, int, float]:
    """Alpha and beta after as many meta-steps as fit the budget, how many these were, and the seconds, pretraining included."""
    started = time.perf_counter()
    trial = MetaLearning(replace(settings, meta_steps=1), problem, silent)
    Pretraining(settings, problem, trial.training, silent).run()
    pretraining = time.perf_counter() - started
    record = problem.runs / f"pretraining_seconds_{problem.seed}_{settings.objective}.txt"
    if not record.exists():  # later variants find the pretraining done
        record.write_text(str(pretraining))
    trial.run()
    started = time.perf_counter()
    MetaLearning(replace(settings, meta_steps=3), problem, silent).run()
    num_steps = max(1, round(budget / ((time.perf_counter() - started) / 3)))
    started = time.perf_counter()
    architecture = MetaLearning(replace(settings, meta_steps=num_steps), problem, silent).run()
    return architecture, num_steps, time.perf_counter() - started + float(record.read_text())


if __name__ == "__main__":
    main()
