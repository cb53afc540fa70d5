"""How far from the best decoupling a search is after so many trainings: every strategy that only asks for scores, on a table.

    python benchmarks/regret.py --table results/tabular/small_cifar10.csv --num-blocks 4 --out results/benchmarks/regret.csv

Each search sees the validation errors of one of the table's seeds (`tabular(seeds=one)`). Its regret is the true error of
the decoupling with the best score so far, less the smallest true error of the table (`nas/evaluation/truth.py`). With
--num-blocks only decouplings of so many blocks are searched, and the best of these is what regret is measured from. The CSV
has a row where the incumbent changes, and the last; regrets are shares, and stay between rows.

The plot beside it shows means over the searches and 95 % intervals (Student's t), which tell the searches' luck, not that of the
table's few trainings. The dotted line is what choosing by one training of every decoupling comes to. Answers of SEDONA are drawn
as markers where sedona_truth.csv (benchmarks/sedona_truth.py) lies beside --out, each at its search's seconds over those of one
training. Started again, it goes on; a table that grew is another one. The data folder is NAS_DATA_DIR.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student_t

from benchmarks.command import benchmark_parser, made_by
from nas.cli.config import parse
from nas.commands.problem import read_problem
from nas.evaluation.tabular import Tabular
from nas.evaluation.truth import errors, incumbents, noise_floor, regrets
from nas.evaluations import Evaluations, when_told
from nas.problem import Problem, Score, silent
from nas.records.log import Cell
from nas.records.results_log import ResultsLog
from nas.strategies import STRATEGIES
from spaces.decoupling import Decoupling
from spaces.notation.component import Component

TRIALS = 100
SLOW = {"gp": (5, 20)}  # at most so many seeds and trainings: a proposal takes two seconds
MARKERS = "os^Dv*"


def main() -> None:
    parser = benchmark_parser(__doc__, "results/benchmarks/regret.csv")
    parser.add_argument(
        "--table",
        type=Path,
        default=Path("results/tabular/small_cifar10.csv"),
        help="the CSV file; a .yaml file of the same name holds its settings for run.py search",
    )
    parser.add_argument("--seeds", type=int, default=30, help="searches of each strategy, seeds 0..N-1")
    parser.add_argument("--num-blocks", type=int, help="search the decouplings of so many blocks (default: all)")
    arguments = parser.parse_args()
    problem = table_problem(arguments.table, arguments.num_blocks)
    points = {str(point) for point in problem.space.enumerate()}
    rows_of_all = Tabular(problem, arguments.table).rows
    rows = [row for row in rows_of_all if row["decoupling"] in points]
    test_errors = errors(rows)
    regret, floor = regrets(test_errors), noise_floor(test_errors)
    one_training = float(regret[errors(rows, "validation_error").idxmin()].mean())
    print(
        f"{len(test_errors)} decouplings; over seeds: standard deviation {100 * floor.std:.2f} percent points, "
        f"Spearman's rho {floor.rank_correlation:.3f}; the best of one training each has regret {100 * one_training:.2f}"
    )
    log, wanted = ResultsLog(arguments.out), list(searches(arguments.seeds))
    table: dict[str, Cell] = {"table": str(arguments.table), "table_rows": len(rows), "num_blocks": arguments.num_blocks}
    where = made_by()
    for strategy, seed in wanted:
        key = {"strategy": strategy, "seed": seed, **table}
        if log.find(key) is None:
            steps = search(strategy, replace(problem, seed=seed), arguments.table, regret)
            log.append_all([{**key, **step, **where} for step in steps])
            print(strategy, seed, f"regret {100 * regret[str(steps[-1]['decoupling'])]:.2f} percent points", flush=True)
    made = [
        row
        for row in log.rows()
        if all(row[name] == str("" if value is None else value) for name, value in table.items())
        and (row["strategy"], int(row["seed"])) in wanted
    ]
    answers = arguments.out.with_name("sedona_truth.csv")
    markers = sedona_answers(answers, arguments.num_blocks, len(rows_of_all)) if answers.is_file() else None
    figure = plot(curves(made), markers, regret, one_training)
    figure.savefig(arguments.out.with_name(f"{arguments.out.stem}_k{arguments.num_blocks or 'any'}.png"))


def table_problem(table: Path, num_blocks: int | None) -> Problem:
    """The problem that the table's settings name; its space, or the part of it with so many blocks."""
    options = parse(["search", "--config", str(table.with_suffix(".yaml"))]).options
    if num_blocks is not None:
        space = Component.parse(options.space)
        kept = tuple((name, value) for name, value in space.settings if name != "num_blocks")
        options = replace(options, space=str(Component(space.name, (*kept, ("num_blocks", num_blocks)))))
    return read_problem(options, options.method, 0, options.lr, options.schedule)


def sedona_answers(path: Path, num_blocks: int | None, table_rows: int) -> pd.DataFrame:
    """The answers on the same table with so many blocks, and what each cost; of all, those that the search itself would
    recommend, after a training for each number of blocks."""
    answers = pd.read_csv(path)
    answers = answers[answers["table_rows"] == table_rows]
    if num_blocks is None:
        free = answers[answers["recommended"] & answers["rho_num_blocks"].notna()]
        return free.assign(equivalent_trainings=free["equivalent_trainings_any"])
    return answers[answers["num_blocks"] == num_blocks]


def searches(num_seeds: int) -> Iterator[tuple[str, int]]:
    """Every strategy with a budget of whole trainings, with each sampler that it has, and its seeds."""
    for name in STRATEGIES:
        settings = STRATEGIES.parameters(name)
        trains_itself = getattr(STRATEGIES[name], "is_one_job", False)
        trains_in_part = any("fidelity" in setting and given.default is not None for setting, given in settings.items())
        if "trials" not in settings or trains_in_part or trains_itself:  # benchmarks/regret_seconds.py has those too
            continue
        for sampler in get_args(settings["sampler"].annotation) if "sampler" in settings else [""]:
            seeds, trials = SLOW.get(sampler, (num_seeds, TRIALS))
            spec = f"{name}(sampler={sampler},trials={trials})" if sampler else f"{name}(trials={trials})"
            yield from ((str(STRATEGIES.resolve(spec)), seed) for seed in range(min(seeds, num_seeds)))


def best_so_far(strategy: str, problem: Problem, table: Path, *, in_flight: int = 1) -> list[str]:
    """After each training of one search, in the order of telling, the decoupling with the best score."""
    tabular = Tabular(problem, table)
    scores: dict[str, float] = {}

    def evaluate(decoupling: Decoupling) -> Score:
        score = tabular(decoupling)
        scores.setdefault(str(decoupling), score.error)
        return score

    STRATEGIES.build(strategy).search(problem, Evaluations(when_told(evaluate), at_once=in_flight), silent)
    return incumbents(scores)


def search(strategy: str, problem: Problem, table: Path, regret: pd.Series) -> list[dict[str, Cell]]:
    """The incumbents of one search: a row for each, and one at the end."""
    best = best_so_far(strategy, problem, table)
    return [
        {"unique_trainings": n, "decoupling": point, "regret": float(regret[point])}
        for n, point in enumerate(best, 1)
        if n in (1, len(best)) or point != best[n - 2]
    ]


def curves(rows: list[dict[str, str]]) -> dict[str, pd.DataFrame]:
    """The regret of each strategy: a line for each number of unique trainings, a column for each seed."""
    frame = pd.DataFrame(rows).astype({"unique_trainings": int, "seed": int, "regret": float})
    wide = {
        str(strategy): group.pivot(index="unique_trainings", columns="seed", values="regret")
        for strategy, group in frame.groupby("strategy", sort=False)
    }
    return {strategy: steps.reindex(range(1, steps.index.max() + 1)).ffill() for strategy, steps in wide.items()}


def plot(regret_of: dict[str, pd.DataFrame], answers: pd.DataFrame | None, regret: pd.Series, one_training: float) -> Figure:
    """Mean regret and its interval over unique trainings, in percent points, and SEDONA's answers."""
    figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    for strategy, steps in regret_of.items():
        component, n = Component.parse(strategy), steps.shape[1]
        name = " ".join([component.name, *(str(value) for key, value in component.settings if key == "sampler")])
        mean = 100 * steps.mean(axis=1)
        half = 100 * student_t.ppf(0.975, n - 1) * steps.std(axis=1) / n**0.5
        (line,) = axes.plot(mean.index, mean, label=f"{name} (n={n})")
        axes.fill_between(mean.index, mean - half, mean + half, color=line.get_color(), alpha=0.15, linewidth=0)
    for marker, (engine, group) in zip(MARKERS, answers.groupby("engine") if answers is not None else [], strict=False):
        axes.scatter(
            group["equivalent_trainings"],
            100 * regret[group["decoupling"]],
            marker=marker,
            facecolors="none",
            edgecolors="black",
            label=f"sedona {engine} (n={len(group)})",
            zorder=3,
        )
    axes.axhline(100 * one_training, color="grey", linestyle=":", label="every decoupling trained once")
    highest = max(steps.mean(axis=1).max() for steps in regret_of.values())
    if answers is not None:
        highest = max(highest, regret[answers["decoupling"]].max())
    axes.set(
        xscale="log",
        xlabel="trainings (SEDONA: seconds of its search over those of one training)",
        ylabel="regret (percent points of test error)",
    )
    axes.set_yscale("symlog", linthresh=1)  # an answer may have no regret at all
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100], minor=False)
    axes.set_yticks([0, 0.5, 1, 2, 5, 10, 20, 50], minor=False)
    axes.set_ylim(0, 130 * highest)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


if __name__ == "__main__":
    main()
