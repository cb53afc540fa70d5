"""How far from the best decoupling a search is after so many seconds: every strategy, those that train networks themselves too.

    python benchmarks/regret_seconds.py --table results/tabular/small_cifar10.csv --num-blocks 4

Strategies that ask for scores are simulated on the table. What a training takes is measured here, by a few steps of one
decoupling for each number of blocks, and goes with MACs: `step_seconds` of rows are of whatever else the machine did. Their own
thinking is added, measured too. What is asked for in part (--also "hyperband(trials=60)", of a table with its history) counts as
that share, less the share that it goes on from; with schedules of its own, of a table with rows of so few iterations, it begins
anew. What a strategy of --rungs asks for before it waits for a score, such as a rung of hyperband or the candidates of
screening, is trained in one go as `--train-together` does: blocks that several share are counted once, by their share of MACs.
So is all that `random, together` asks for; `every decoupling, together` is the whole table so, one seed. A row has beside its
seconds `training_seconds`, those of one training in the same run, and the summary takes all to the quietest of them.

`supernet` and `sedona`, with each engine, really train on the table's images (--supernets, --sedonas): their seconds are the
process's own, to which the trainings of what they recommend are added, in the same measure. Answers of SEDONA on the same table
that lie in sedona_truth.csv (benchmarks/sedona_truth.py) beside --out are shown with them.

Regret is of the answer: the true error of what the search would recommend, the mean over the table's seeds, less the smallest.
Searches see one seed's validation errors. A row where the answer changes, and the last; `rho` is Spearman's between what a
strategy believes of all decouplings and their true errors, of those that rank, beside `best_rho`, what a ranking without any
error would have for this table's reliability (`nas.evaluation.truth`). Started again, it goes on.

At the end the target is printed and written to `regret_targets/` beside the folder of --out: the median seconds over the seeds
until an answer is among the best 1 %, and within half a point of the best, of each strategy and over random search's; and the
plot is drawn: means and 95 % intervals (Student's t). The data folder is NAS_DATA_DIR.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.command import benchmark_parser, made_by
from benchmarks.regret import table_problem
from benchmarks.regret_parts.plot import plot
from benchmarks.regret_parts.real_searches import SEDONA, SUPERNETS, sedona, supernet
from benchmarks.regret_parts.rows import answers_of_sedona, measured, rows_of
from benchmarks.regret_parts.simulated import exhaustive, random_together, simulated
from benchmarks.regret_parts.targets import targets
from benchmarks.regret_parts.trainings import Answer
from benchmarks.regret_parts.truth import Truth
from nas.problem import Problem
from nas.records.log import Cell
from nas.records.results_log import ResultsLog

SLOW_SEEDS, SLOW_TRIALS = 3, 20  # of gp, whose proposals take two seconds


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/regret_seconds.csv")
    parser.add_argument("--table", type=Path, default=Path("results/tabular/small_cifar10.csv"), help="as for regret.py")
    parser.add_argument("--num-blocks", type=int, help="search the decouplings of so many blocks (default: all)")
    parser.add_argument("--seeds", type=int, default=30, help="simulated searches of each strategy, seeds 0..N-1")
    parser.add_argument("--trials", type=int, default=60, help="trainings of each")
    parser.add_argument("--also", nargs="*", default=[], metavar="STRATEGY", help="further ones that ask for scores, in part too")
    parser.add_argument(
        "--rungs", nargs="*", default=[], metavar="STRATEGY", help="further ones, whose rungs are trained together"
    )
    parser.add_argument("--supernets", type=int, default=0, metavar="N", help="real searches of each, seeds 0..N-1")
    parser.add_argument("--sedonas", type=int, default=0, metavar="N", help="real searches of each, seeds 0..N-1")
    parser.add_argument("--sedona-seconds", type=float, default=40.0, help="of meta-learning, for each variant of SEDONA")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where those keep what is unfinished")
    arguments = parser.parse_args()
    truth = Truth(arguments.table, table_problem(arguments.table, arguments.num_blocks))
    log, where = ResultsLog(arguments.out), made_by()
    table: dict[str, Cell] = {"table": str(arguments.table), "table_rows": len(truth.rows), "num_blocks": arguments.num_blocks}
    wanted = list(searches(truth, arguments))
    for strategy, seed, search in wanted:
        key = {"strategy": strategy, "seed": seed, **table}
        if log.find(key) is None:
            answers = search(replace(truth.problem, seed=seed))
            log.append_all(
                [{**key, "training_seconds": truth.training_seconds, **row, **where} for row in rows_of(answers, truth)]
            )
            last = answers[-1]
            print(f"{strategy} {seed}: regret {100 * truth.regret[last.decoupling]:.2f} after {last.seconds:.0f} s", flush=True)
    of_sedona = answers_of_sedona(arguments.out.with_name("sedona_truth.csv"), truth, arguments.num_blocks)
    made = measured(log, table, {(strategy, seed) for strategy, seed, _ in wanted}, of_sedona)
    found = targets(made)
    print(found.to_string(index=False))
    kind = f"{arguments.table.stem}_k{arguments.num_blocks or 'any'}"
    target_path = arguments.out.parent.parent / "regret_targets" / f"{kind}.csv"
    target_path.unlink(missing_ok=True)  # of fewer searches
    ResultsLog(target_path).append_all([{**row, **table, **where} for row in found.to_dict("records")])
    plot(made, truth).savefig(arguments.out.with_name(f"{arguments.out.stem}_{kind}.png"))


def searches(truth: Truth, arguments: Namespace) -> Iterator[tuple[str, int, Callable[[Problem], list[Answer]]]]:
    """Every search: its strategy, its seed and what does it."""
    trials, seeds = arguments.trials, arguments.seeds
    asking = {
        "random": (f"random(trials={trials})", seeds),
        "optuna tpe": (f"optuna(sampler=tpe,trials={trials})", seeds),
        "optuna cmaes": (f"optuna(sampler=cmaes,trials={trials})", seeds),
        "optuna nsga2": (f"optuna(sampler=nsga2,trials={trials})", seeds),
        "optuna gp": (f"optuna(sampler=gp,trials={min(trials, SLOW_TRIALS)})", min(seeds, SLOW_SEEDS)),
        "surrogate": (f"surrogate(trials={trials})", seeds),
    }
    asking |= {spec: (spec, seeds) for spec in arguments.also}
    for name, (spec, number) in asking.items():
        yield from ((name, seed, partial(simulated, truth, spec)) for seed in range(number))
    for spec in arguments.rungs:
        yield from ((f"{spec}, together", seed, partial(simulated, truth, spec, together=True)) for seed in range(seeds))
    yield from (("random, together", seed, partial(random_together, truth, trials)) for seed in range(seeds))
    yield from (("every decoupling, together", seed, partial(exhaustive, truth)) for seed in range(truth.num_seeds))
    for seed in range(arguments.supernets):
        yield from ((name, seed, partial(supernet, truth, one, arguments.runs)) for name, one in SUPERNETS.items())
    for seed in range(arguments.sedonas):
        for name, settings in SEDONA.items():
            yield name, seed, partial(sedona, truth, settings, arguments.sedona_seconds, arguments.runs)


if __name__ == "__main__":
    main()
