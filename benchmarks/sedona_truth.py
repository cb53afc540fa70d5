"""How well SEDONA ranks decouplings whose true error is known, by each engine, all for the same seconds.

    python benchmarks/sedona_truth.py --table results/tabular/small_cifar10.csv --out results/benchmarks/sedona_truth.csv

Each variant learns alpha and beta on the table's images and space until --seconds are used up, the first meta-step not counted,
from a weight memory that variants of a seed share where they pretrain alike. Pretraining's seconds come on top. In it the
learning rate falls to a hundredth, with which the inner steps go on; where all of it is remembered, they have that of the weights
that they begin with.

A row for each number of blocks K: the decoupling that alpha and beta point at, its regret (true error less that of the best
decoupling of the same K) and its rank among them, its peak memory, and Spearman's rho between -log P(decoupling | alpha, beta)
and the true errors: `rho` among those of K blocks, `rho_all` among all that the search could have answered with, beside
`rho_num_blocks`, that of K alone. `recommended` marks the K of the lowest validation error.

`equivalent_trainings` is what the answer cost: seconds of pretraining and meta-learning over those of one training (of even(3)),
plus the training of the answer; `equivalent_trainings_any` has one training for each K instead. All seconds are the process's
own, measured here. At the end the means over the seeds are printed, with 95 % intervals (Student's t). benchmarks/regret.py draws
the answers beside other strategies. Started again, it goes on. The data folder is NAS_DATA_DIR.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd
from scipy.stats import t as student_t

from benchmarks.command import benchmark_parser
from benchmarks.regret import table_problem
from methods.training.trainer import Trainer
from nas.evaluation.tabular import Tabular
from nas.evaluation.truth import errors, rank_correlation, regrets
from nas.problem import Problem, silent
from nas.records.log import Cell
from nas.records.provenance import device_name, provenance
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.strategies.sedona.decisions import discretise
from nas.strategies.sedona.expected_cost import log_probability
from nas.strategies.sedona.meta_learning import MetaLearning
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.relaxed_training import RelaxedTraining
from nas.strategies.sedona.settings import Settings
from spaces.decoupling import Decoupling
from spaces.rules import even

COMMON = Settings(pretrain=400, inner_steps=5, memory=25, eviction="oldest", lr=0.1, meta_lr=0.05, outer_batch=512)
Variant = tuple[Settings, int | None]  # and the number of blocks that the search is conditioned on, if any
ENGINES: dict[str, Variant] = {
    "adjoint": (COMMON, None),
    "identity": (replace(COMMON, engine="identity"), None),
    "identity, batch x 4": (replace(COMMON, engine="identity", inner_batch=256), None),
    "adjoint, K = 4": (COMMON, 4),
    "adjoint, memory_weight=1": (replace(COMMON, memory_weight=1.0), None),
    "released objective": (replace(COMMON, objective="train"), None),
}
PRETRAININGS: dict[str, Variant] = {  # how long, with how high a rate in the inner steps, and how many of these
    "adjoint, 25 pretrained": (replace(COMMON, pretrain=25), None),
    "adjoint, 100 pretrained": (replace(COMMON, pretrain=100), None),
    "adjoint, 100 pretrained, all remembered": (replace(COMMON, pretrain=100, memory=100), None),
    "adjoint, 200 pretrained": (replace(COMMON, pretrain=200), None),
    "adjoint, 1600 pretrained": (replace(COMMON, pretrain=1600), None),
    "adjoint, T = 20": (replace(COMMON, inner_steps=20), None),
    "identity, 100 pretrained": (replace(COMMON, pretrain=100, engine="identity"), None),
    "identity, batch x 4, 100 pretrained": (replace(COMMON, pretrain=100, engine="identity", inner_batch=256), None),
    "released objective, 100 pretrained": (replace(COMMON, pretrain=100, objective="train"), None),
}
VARIANTS = {**ENGINES, **PRETRAININGS}


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/sedona_truth.csv")
    parser.add_argument("--table", type=Path, default=Path("results/tabular/small_cifar10.csv"), help="as for regret.py")
    parser.add_argument("--seconds", type=float, default=40.0, help="of meta-learning, for each variant alike")
    parser.add_argument("--seeds", type=int, default=3, help="searches of each variant, seeds 0..N-1")
    parser.add_argument("--variants", nargs="+", default=list(ENGINES), choices=list(VARIANTS), help="which (default: engines)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where weight memories lie")
    arguments = parser.parse_args()
    problems = {
        num_blocks: replace(table_problem(arguments.table, num_blocks), runs=arguments.runs, results=Results(arguments.runs))
        for num_blocks in {None, *(VARIANTS[name][1] for name in arguments.variants)}
    }
    log, rows = ResultsLog(arguments.out), Tabular(problems[None], arguments.table).rows
    where: dict[str, Cell] = {
        **provenance(),
        "device": device_name(problems[None].device),
        "threads": 1,
        "command": shlex.join(["python", *sys.argv]),
    }
    table: dict[str, Cell] = {"budget_seconds": arguments.seconds, "table_rows": len(rows)}
    training_seconds = seconds_of_a_training(problems[None])
    for seed in range(arguments.seeds):
        for name in arguments.variants:
            key: dict[str, Cell] = {"engine": name, "seed": seed, **table}
            if log.find(key) is None:
                settings, num_blocks = VARIANTS[name]
                found = answers(
                    settings, replace(problems[num_blocks], seed=seed), arguments.seconds, rows, arguments.table, training_seconds
                )
                log.append_all([{**key, **answer, **where} for answer in found])
    made = [row for row in log.rows() if all(row[name] == str(value) for name, value in table.items())]
    print(means(pd.DataFrame(made)).to_string(index=False))


def answers(
    settings: Settings, problem: Problem, budget: float, rows: list[dict[str, str]], table: Path, training_seconds: float
) -> list[dict[str, Cell]]:
    """Search, and compare with the truth: a row for each number of blocks."""
    architecture, num_steps, seconds = searched(settings, problem, budget)
    space = problem.space
    test_errors = errors(rows).loc[[str(point) for point in space.enumerate()]]
    scores = {str(point): -float(log_probability(architecture, space, point)) for point in space.enumerate()}
    num_blocks_of = {str(point): float(point.num_blocks) for point in space.enumerate()}
    tabular = Tabular(problem, table)
    points = [discretise(architecture, space, num_blocks) for num_blocks in space.block_counts]
    best = min(points, key=lambda point: tabular(point).error)
    found: list[dict[str, Cell]] = []
    for point in points:
        same = [str(other) for other in space.enumerate() if other.num_blocks == point.num_blocks]
        among, regret = test_errors.loc[same], regrets(test_errors.loc[same])
        found.append(
            {
                "meta_steps": num_steps,
                "seconds": seconds,
                "training_seconds": training_seconds,
                "equivalent_trainings": seconds / training_seconds + 1,
                "equivalent_trainings_any": seconds / training_seconds + len(points),
                "num_blocks": point.num_blocks,
                "decoupling": str(point),
                "recommended": point == best,
                "num_points": len(same),
                "regret": float(regret[str(point)]),
                "mean_regret": float(regret.mean()),
                "rank": int((regret < regret[str(point)]).sum()) + 1,
                "regret_all": float(regrets(test_errors)[str(point)]),
                "peak_activation_bytes": tabular(point).peak_activation_bytes,
                "rho": rank_correlation(scores, among) if len(same) > 2 else None,
                "rho_all": rank_correlation(scores, test_errors),
                "rho_num_blocks": rank_correlation(num_blocks_of, test_errors) if len(points) > 1 else None,
            }
        )
    shown = pd.DataFrame(found)[["num_blocks", "decoupling", "regret", "mean_regret", "rank", "num_points", "rho", "rho_all"]]
    print(
        f"\nseed {problem.seed}, {settings.engine}, {settings.objective}: {num_steps} meta-steps, {seconds:.0f} s of search, "
        f"{training_seconds:.1f} s a training\n{shown.to_string(index=False)}",
        flush=True,
    )
    return found


def searched(settings: Settings, problem: Problem, budget: float) -> tuple[Architecture, int, float]:
    """Alpha and beta when the budget is used up, after how many meta-steps, and all seconds, pretraining included."""
    learning = MetaLearning(replace(settings, meta_steps=10**6), problem, silent)
    shutil.rmtree(learning.folder, ignore_errors=True)  # of a run that was stopped: its seconds are not known
    started = num_steps = 0.0
    for _ in learning.steps():
        num_steps += 1
        if num_steps == 1:
            started = time.process_time()
        elif time.process_time() - started > budget:
            break
    seconds = (time.process_time() - started) * num_steps / (num_steps - 1)
    shutil.rmtree(learning.folder)
    return learning.architecture, int(num_steps), seconds + seconds_of_pretraining(settings, problem)


def seconds_of_pretraining(settings: Settings, problem: Problem) -> float:
    """From some of its steps."""
    training = RelaxedTraining(problem, settings.objective, settings.lr, settings.pretrain)
    undecided = Architecture.zeros(len(problem.space.gaps), len(problem.space.heads), device=problem.device)
    return settings.pretrain * seconds_of_a_step(
        lambda step: training.step(undecided, step, training.batches.batch(0, step), seed=step)
    )


def seconds_of_a_training(problem: Problem, point: Decoupling | None = None) -> float:
    """One training, of even(3) where no other is named, from some of its steps."""
    return seconds_of_trainings(problem, [point or even(problem.space, problem.space.heads[0], num_blocks=3)])[0]


def seconds_of_trainings(problem: Problem, points: Sequence[Decoupling]) -> list[float]:
    """One training of each, from some of its steps, in turns: what else the machine does is the same for all."""
    batches = problem.data.train_batches(problem.settings.batch_size)
    trainers = [Trainer(problem.build(point), problem.settings, seed=0, device=problem.device) for point in points]
    runs = [lambda step, trainer=trainer: trainer.step(*batches.batch(0, step), step) for trainer in trainers]
    return [problem.settings.iterations * seconds for seconds in seconds_in_turns(runs)]


def seconds_of_a_step(run: Callable[[int], object]) -> float:
    """Its median."""
    return seconds_in_turns([run])[0]


def seconds_in_turns(runs: Sequence[Callable[[int], object]], repeats: int = 15) -> list[float]:
    """The median of each, after one to warm up."""
    seconds: list[list[float]] = [[] for _ in runs]
    for step in range(repeats + 1):
        for run, found in zip(runs, seconds, strict=True):
            started = time.process_time()
            run(step)
            found.append(time.process_time() - started)
    return [median(found[1:]) for found in seconds]


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Regret, rank correlations and what they are compared with, as means over seeds and half 95 % intervals."""
    columns = ["regret", "mean_regret", "rho", "rho_all", "rho_num_blocks"]
    frame = frame.assign(**{name: pd.to_numeric(frame[name]) for name in columns})
    lines = []
    for (engine, num_blocks), group in frame.groupby(["engine", "num_blocks"], sort=False):
        n, line = len(group), {"engine": engine, "K": num_blocks, "n": len(group)}
        for name in columns:
            half = float(student_t.ppf(0.975, n - 1)) * group[name].std() / n**0.5 if n > 1 else float("nan")
            line[name] = f"{group[name].mean():.3f} +- {half:.3f}"
        lines.append(line)
    return pd.DataFrame(lines)


if __name__ == "__main__":
    main()
