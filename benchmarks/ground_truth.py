"""The ground truth of a small space: every decoupling, trained on real images with several seeds, in one CSV file.

    python benchmarks/ground_truth.py --out results/tabular/vgg11_cifar10.csv --seeds 2

The settings are those of the .yaml file of the same name, which a search takes as its --config. An ordinary comparison of all
points, those of a seed trained together (`--train-together`): a row for each decoupling and seed, with validation and test error,
all settings and where the row comes from. Started again, it goes on; with --first-seed, processes share the work. Some hours on
one core; the data folder is NAS_DATA_DIR. `tabular(path=...)` answers searches from the file. With --fidelity 0.2 there are also
rows of trainings with a fifth of the iterations and a schedule of their own, which `hyperband(schedules=own)` asks for.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from benchmarks.command import benchmark_parser
from benchmarks.regret import table_problem
from nas.evaluation.comparison import Comparison
from nas.problem import Report
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import RUNS


def main() -> None:
    parser = benchmark_parser(__doc__, "results/tabular/vgg11_cifar10.csv")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where unfinished runs lie")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds from here on")
    parser.add_argument("--seeds", type=int, default=2, help="how many")
    parser.add_argument(
        "--fidelity", type=float, default=1.0, help="the share of the settings' iterations, each with its schedule"
    )
    arguments = parser.parse_args()
    problem = table_problem(arguments.out, None).shortened(arguments.fidelity)
    problem = replace(problem, runs=arguments.runs, results=Results(arguments.out.parent), figures=())
    log = ResultsLog(arguments.out, RUNS)
    comparison = Comparison(
        problem,
        [problem.method],
        [str(point) for point in problem.space.enumerate()],
        range(arguments.first_seed, arguments.first_seed + arguments.seeds),
        log=log,
        tuning_log=log,
        rates=[problem.settings.lr],
        schedules=[problem.settings.schedule],
        weights="discarded",
        report=told(),
        command=shlex.join(["python", *sys.argv]),
        together=True,
    )
    there, wanted = comparison.counts()
    print(f"{there} of {wanted} rows are in {arguments.out}", flush=True)
    comparison.run()


def told() -> Report:
    """A line for each validation."""

    def report(what: str, done: int, total: int, **figures: float) -> None:
        if "validation_error" in figures:
            print(f"{what}: {done} of {total}, lowest validation error {figures['validation_error']:.4f}", flush=True)

    return report


if __name__ == "__main__":
    main()
