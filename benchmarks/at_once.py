"""What asking for several decouplings at once costs a search: samplers on a table, with 1, 2, 4 and 8 in flight.

    NAS_DATA_DIR=data python benchmarks/at_once.py --num-blocks 4

With n in flight a strategy asks for the next without the scores of the last n - 1 (`search --workers n`). Each search sees
the validation errors of one of the table's seeds, as in benchmarks/regret.py, whose regret this is. The CSV has a row for each
search: the regret, a share, of the decoupling with the best score after so many trainings. What is printed are means over the
seeds, with the 95 % interval (Student's t) of the difference to one in flight, seed by seed. Started again, it goes on.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd
from scipy.stats import t as student_t

from benchmarks.command import benchmark_parser, made_by
from benchmarks.regret import best_so_far, table_problem
from nas.evaluation.tabular import Tabular
from nas.evaluation.truth import errors, regrets
from nas.records.results_log import ResultsLog
from nas.strategies import STRATEGIES

IN_FLIGHT = (1, 2, 4, 8)
AFTER = (10, 20, 40)  # trainings
STRATEGY = f"optuna(sampler={{}},trials={AFTER[-1]})"


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/at_once.csv")
    parser.add_argument("--table", type=Path, default=Path("results/tabular/small_cifar10.csv"), help="as in regret.py")
    parser.add_argument("--samplers", nargs="+", default=["tpe", "cmaes", "nsga2"], help="of Optuna")
    parser.add_argument("--seeds", type=int, default=30, help="searches of each, seeds 0..N-1")
    parser.add_argument("--num-blocks", type=int, help="search the decouplings of so many blocks (default: all)")
    arguments = parser.parse_args()
    problem = table_problem(arguments.table, arguments.num_blocks)
    points = {str(point) for point in problem.space.enumerate()}
    rows = [row for row in Tabular(problem, arguments.table).rows if row["decoupling"] in points]
    regret, log = regrets(errors(rows)), ResultsLog(arguments.out)
    where = {"table": str(arguments.table), "table_rows": len(rows), "num_blocks": arguments.num_blocks}
    wanted = [(sampler, seed, n) for sampler in arguments.samplers for seed in range(arguments.seeds) for n in IN_FLIGHT]
    found = []
    for sampler, seed, in_flight in wanted:
        key = {"strategy": str(STRATEGIES.resolve(STRATEGY.format(sampler))), "seed": seed, "at_once": in_flight, **where}
        if log.find(key) is None:
            best = best_so_far(key["strategy"], replace(problem, seed=seed), arguments.table, in_flight=in_flight)
            figures = {f"regret_{after}": float(regret[best[min(after, len(best)) - 1]]) for after in AFTER}
            log.append({**key, **figures, **made_by()})
        row = log.find(key)
        assert row is not None, "a row that was appended is found"
        found.append({"sampler": sampler, **row})
    tell(pd.DataFrame(found))


def tell(rows: pd.DataFrame) -> None:
    """Means in percent points, and how far from one in flight."""
    rows = rows.astype({"seed": int, "at_once": int, **{f"regret_{after}": float for after in AFTER}})
    for sampler, of_sampler in rows.groupby("sampler", sort=False):
        for after in AFTER:
            wide = 100 * of_sampler.pivot(index="seed", columns="at_once", values=f"regret_{after}")
            print(f"{sampler}, after {after} trainings:", end="")
            for in_flight in IN_FLIGHT:
                difference = wide[in_flight] - wide[1]
                half = student_t.ppf(0.975, len(wide) - 1) * difference.std() / len(wide) ** 0.5
                beside = f" ({difference.mean():+.2f} ± {half:.2f})" if in_flight > 1 else ""
                print(f"  {in_flight}: {wide[in_flight].mean():.2f}{beside}", end="")
            print()


if __name__ == "__main__":
    main()
