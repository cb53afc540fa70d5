"""How far a ranking from shared weights has to look ahead to say what whole trainings come to.

    python benchmarks/horizons.py --table results/tabular/vgg11_cifar10.csv

One network is trained for all decouplings of the table, as the strategy `supernet` does. From its weights each of them takes
`tune` steps of its own, with the same batches, and a learning rate that falls from `lr` along a cosine; it is ranked by its
validation loss then. A row for each seed, `tune` and number of blocks of three decouplings or more:

rho            Spearman's rho of these losses with the true errors, the mean test errors of the table
rho_smoothed   the same of what `supernet` ranks by, the losses smoothed over decouplings that are alike
rho_last_cut   rho of the losses with the last cut's position: above 0 where early last cuts have the lower losses
true_last_cut  rho of the true errors with it
seconds        of the process for tuning all; `training_seconds` are those of one whole training, measured here

A short training from random weights, with which it is to be compared, is what benchmarks/rankings.py has. Rows that are there
already are not measured again. The data folder is NAS_DATA_DIR.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd

from benchmarks.command import benchmark_parser, made_by
from benchmarks.regret import table_problem
from benchmarks.sedona_truth import seconds_of_a_training
from nas.evaluation.tabular import Tabular
from nas.evaluation.truth import by_num_blocks, errors, rank_correlation, true_errors
from nas.problem import Problem, silent
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.strategies.supernet.ranking import smoothed
from nas.strategies.supernet.strategy import Supernet
from spaces.decoupling import Decoupling

TUNED = (5, 20, 88, 351)
State = dict[str, Any]


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/horizons.csv")
    parser.add_argument("--table", type=Path, default=Path("results/tabular/vgg11_cifar10.csv"), help="as for regret.py")
    parser.add_argument("--tune", type=int, nargs="+", default=list(TUNED), metavar="N", help="steps from the shared weights")
    parser.add_argument("--seeds", type=int, default=2, help="shared networks, seeds 0..N-1")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where shared weights lie meanwhile")
    arguments = parser.parse_args()
    problem = replace(table_problem(arguments.table, None), runs=arguments.runs, results=Results(arguments.runs))
    rows = Tabular(problem, arguments.table).rows
    log = ResultsLog(arguments.out)
    parts = [part for part in by_num_blocks(errors(rows)).values() if len(part) > 2]
    where: dict[str, Cell] = {
        "training_seconds": seconds_of_a_training(problem),
        "device": device_name(problem.device),
        **made_by(),
    }
    for seed in range(arguments.seeds):
        shared: State = {}
        for tune in arguments.tune:
            key: dict[str, Cell] = {"table": str(arguments.table), "table_rows": len(rows), "seed": seed, "tune": tune}
            if log.find(key) is None:
                of_seed = replace(problem, seed=seed)
                shared = shared or shared_weights(of_seed)
                found = list(rankings(of_seed, shared, tune, parts))
                log.append_all([{**key, **row, **where} for row in found])
                print(f"\nseed {seed}, {tune} steps\n{pd.DataFrame(found).to_string(index=False)}", flush=True)


def shared_weights(problem: Problem) -> State:
    """The state of a search when the weights that all decouplings share have been trained."""
    training = Supernet(snapshots=1, tune=1, candidates=1).training(problem, silent)
    training.losses()
    shutil.rmtree(training.folder)
    return {**training.state_dict(), "losses": []}


def rankings(problem: Problem, shared: State, tune: int, parts: Sequence[pd.DataFrame]) -> Iterator[dict[str, Cell]]:
    """Tune every decoupling: the row of each number of blocks."""
    training = Supernet(snapshots=1, tune=tune, candidates=problem.space.size).training(problem, silent)
    shutil.rmtree(training.folder, ignore_errors=True)  # of one that was stopped: its seconds are not known
    training.load_state_dict(shared)
    began = time.process_time()
    losses = dict(zip(training.candidates, training.losses(), strict=True))
    seconds = time.process_time() - began
    shutil.rmtree(training.folder)
    smooth = smoothed(losses, problem.space, problem.seed)
    for part in parts:
        points = {name: Decoupling.parse(name) for name in part.index}
        own = pd.Series({name: losses[point] for name, point in points.items()})
        last_cut = pd.Series({name: point.cuts[-1] for name, point in points.items()})
        yield {
            "shared_iterations": training.iterations,
            "lr": training.lr,
            "num_blocks": next(iter(points.values())).num_blocks,
            "decouplings": len(part),
            "rho": rank_correlation(own, part),
            "rho_smoothed": rank_correlation({name: smooth[point] for name, point in points.items()}, part),
            "rho_last_cut": float(own.corr(last_cut, "spearman")),
            "true_last_cut": float(true_errors(part).corr(last_cut, "spearman")),
            "seconds": seconds,
        }


if __name__ == "__main__":
    main()
