"""How far from the best decoupling a search is after so many seconds: every strategy, those that train networks themselves too.

    python benchmarks/regret_seconds.py --table results/tabular/small_cifar10.csv --num-blocks 4

Strategies that ask for scores are simulated on the table. What a training takes is measured here, by a few steps of one
decoupling for each number of blocks, and goes with MACs: `step_seconds` of rows are of whatever else the machine did. Their own
thinking is added, measured too; what is asked for in part (--also "hyperband(trials=60)", of a table with its history) counts
as that share. What a strategy of --rungs asks for before it waits for a score, such as a rung of hyperband, is trained in one
go as `--train-together` does: blocks that several share are counted once, by their share of MACs. So is all that `random,
together` asks for; `every decoupling, together` is the whole table so, one seed. A row has beside its seconds
`training_seconds`, those of one training in the same run, and the summary takes all to the quietest of them.

With --short every decoupling is looked up in a table of shorter trainings with whole schedules, those together, and then trained
in the order of their errors there.

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

import math
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.stats import t as student_t

from benchmarks.command import benchmark_parser, made_by
from benchmarks.regret import table_problem
from benchmarks.sedona_truth import COMMON, searched, seconds_of_a_training
from nas.evaluation.tabular import Tabular
from nas.evaluation.truth import by_num_blocks, errors, rank_correlation, regrets, reliability
from nas.evaluations import Evaluations, when_told
from nas.problem import Problem, Score, silent
from nas.records.log import Cell
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.strategies import STRATEGIES
from nas.strategies.sedona.decisions import discretise
from nas.strategies.sedona.expected_cost import log_probability
from nas.strategies.supernet.strategy import Supernet
from nas.strategies.surrogate.features import Features
from nas.strategies.surrogate.strategy import Surrogate
from spaces.decoupling import Decoupling

NEAR = 0.005  # of the best: half a point
TOP = 0.01  # of the decouplings, one at least
SLOW_SEEDS, SLOW_TRIALS = 3, 20  # of gp, whose proposals take two seconds
SEDONA = {
    "sedona adjoint": COMMON,
    "sedona identity": replace(COMMON, engine="identity"),
    "sedona identity, batch x 4": replace(COMMON, engine="identity", inner_batch=256),
    "sedona released objective": replace(COMMON, objective="train"),
}
SUPERNETS = {
    "supernet(tune=5)": Supernet(snapshots=1, tune=5, candidates=30),
    "supernet(tune=20)": Supernet(snapshots=1, tune=20, candidates=30),
}


@dataclass(frozen=True)
class Answer:
    """What a search would recommend after so many seconds and trainings; `found` says whether one of the top 1 % was trained."""

    seconds: float
    trainings: float
    decoupling: str
    found: bool
    rho: float | None = None


class Truth:
    """A table: what a training takes, what it says is true, and what blocks that several share save."""

    def __init__(self, path: Path, problem: Problem) -> None:
        self.path, self.problem = path, problem
        self.points = list(problem.space.enumerate())
        names = {str(point) for point in self.points}
        self.all_rows = Tabular(problem, path).rows
        self.rows = [row for row in self.all_rows if row["decoupling"] in names]
        self.test_errors = errors(self.rows)
        self.regret = regrets(self.test_errors)
        self.features = Features(problem.space)
        self.training_seconds = seconds_of_a_training(problem, self.points[len(self.points) // 2])
        self.seconds = self._seconds()
        number = max(1, round(TOP * len(self.test_errors)))
        self.top = set(self.regret.sort_values(kind="stable").index[:number])
        self.parts = by_num_blocks(self.test_errors)

    def _seconds(self) -> dict[str, float]:
        """Of each training: those of one decoupling with as many blocks, measured here, times its MACs over that one's."""
        found = {}
        for num_blocks in self.problem.space.block_counts:
            points = [point for point in self.points if point.num_blocks == num_blocks]
            macs = {point: self.features.training_macs(point) for point in points}
            middle = sorted(points, key=macs.__getitem__)[len(points) // 2]
            seconds = seconds_of_a_training(self.problem, middle)
            found |= {str(point): seconds * macs[point] / macs[middle] for point in points}
        return found

    def within(self, scores: dict[str, float]) -> float | None:
        """Spearman's rho within equal numbers of blocks, mean over these weighted by the decouplings; of 3 or more each."""
        parts = [part for part in self.parts.values() if len(part) > 2]
        if not parts or any(name not in scores for part in parts for name in part.index):
            return None
        found = [rank_correlation(scores, part) for part in parts]
        return float(np.average(found, weights=list(map(len, parts))))

    def best_rho(self) -> float:
        """What is expected of a ranking without any error."""
        parts = [part for part in self.parts.values() if len(part) > 2]
        return float(np.average([reliability(part).best_rho for part in parts], weights=list(map(len, parts))))

    def together(self, points: Iterable[Decoupling]) -> float:
        """Seconds of trainings in one go: of each stage its share of MACs, one that several begin with once."""
        stages = {
            (point.cuts[: k + 1], point.heads[: k + 1], k == len(point.cuts)): share * self.seconds[str(point)]
            for point in points
            for k, share in enumerate(self.features.stage_shares(point))
        }
        return sum(stages.values())


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
    parser.add_argument("--short", type=Path, metavar="TABLE", help="a table of the same space, of shorter trainings")
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
    made = pd.DataFrame(
        [
            row
            for row in log.rows()
            if all(row[name] == str("" if value is None else value) for name, value in table.items())
            and (row["strategy"], int(row["seed"])) in {(strategy, seed) for strategy, seed, _ in wanted}
        ]
    )
    made = pd.concat(
        [made, measured_before(arguments.out.with_name("sedona_truth.csv"), truth, arguments.num_blocks)], ignore_index=True
    )
    for name in ("seed", "seconds", "training_seconds", "regret", "rho"):
        made[name] = pd.to_numeric(made[name])
    made["seconds"] *= made["training_seconds"].min() / made["training_seconds"]  # as if all had been measured when it was quiet
    targets = target(made, truth)
    print(targets.to_string(index=False))
    kind = f"{arguments.table.stem}_k{arguments.num_blocks or 'any'}"
    target_path = arguments.out.parent.parent / "regret_targets" / f"{kind}.csv"
    target_path.unlink(missing_ok=True)  # of fewer searches
    ResultsLog(target_path).append_all([{**row, **table, **where} for row in targets.to_dict("records")])
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
        yield from ((f"{spec}, together", seed, partial(simulated_rungs, truth, spec)) for seed in range(seeds))
    yield from (("random, together", seed, partial(simulated_together, truth, trials)) for seed in range(seeds))
    yield from (("every decoupling, together", seed, partial(exhaustive, truth)) for seed in range(num_seeds(truth)))
    if arguments.short:
        short = Truth(arguments.short, table_problem(arguments.short, arguments.num_blocks))
        share = short.problem.settings.iterations / truth.problem.settings.iterations
        name = f"every decoupling for {share:.2g}, together, then the best"
        yield from ((name, seed, partial(short_first, truth, short, share)) for seed in range(num_seeds(short)))
    for seed in range(arguments.supernets):
        yield from ((name, seed, partial(supernet, truth, one, arguments.runs)) for name, one in SUPERNETS.items())
    for seed in range(arguments.sedonas):
        for name, settings in SEDONA.items():
            yield name, seed, partial(sedona, truth, settings, arguments.sedona_seconds, arguments.runs)


def num_seeds(truth: Truth) -> int:
    """Of the table, each of which is one search of it all."""
    return truth.test_errors.shape[1]


def simulated(truth: Truth, spec: str, problem: Problem) -> list[Answer]:
    """An answer after each training, in the order of telling."""
    tabular, scores = Tabular(problem, truth.path), dict[Decoupling, Score]()
    answers: list[Answer] = []
    done: dict[Decoupling, float] = {}  # the largest share of the iterations that each was trained for
    trained, found, began = 0.0, False, time.process_time()
    strategy = STRATEGIES.build(spec)

    def evaluate(decoupling: Decoupling, fidelity: float = 1.0) -> Score:
        nonlocal trained, found
        score = tabular(decoupling) if fidelity == 1 else tabular(decoupling, fidelity)
        thought = time.process_time() - began
        trained += truth.seconds[str(decoupling)] * max(0.0, fidelity - done.get(decoupling, 0.0))
        done[decoupling] = max(fidelity, done.get(decoupling, 0.0))
        if fidelity == 1:
            scores[decoupling] = score
            found = found or str(decoupling) in truth.top
        if scores:  # an answer is trained wholly
            best = min(scores, key=lambda point: scores[point].error)
            answers.append(Answer(trained + thought, sum(done.values()), str(best), found))
        return score

    strategy.search(problem, Evaluations(when_told(evaluate)), silent)
    if isinstance(strategy, Surrogate):
        believed = strategy.believed(problem, scores)
        answers[-1] = replace(answers[-1], rho=truth.within({str(point): value for point, value in believed.items()}))
    return answers


def simulated_together(truth: Truth, trials: int, problem: Problem) -> list[Answer]:
    """Random search whose trainings, however many, are done in one go."""
    alone = simulated(truth, f"random(trials={trials})", problem)
    asked: list[Decoupling] = []
    STRATEGIES.build(f"random(trials={trials})").search(
        problem, Evaluations(when_told(partial(_remembered, asked, Tabular(problem, truth.path)))), silent
    )
    return [
        replace(answer, seconds=truth.together(asked[:number]))
        for number, answer in enumerate(alone, start=1)
        if number & (number - 1) == 0 or number == len(alone)  # each is a search of its own; 1, 2, 4, ... trainings
    ]


def simulated_rungs(truth: Truth, spec: str, problem: Problem) -> list[Answer]:
    """What is asked for before a score is waited for, such as a rung of hyperband, is trained in one go."""
    tabular, scores = Tabular(problem, truth.path), dict[Decoupling, Score]()
    answers: list[Answer] = []
    rung: dict[Decoupling, float] = {}  # asked for, not yet trained
    done: dict[Decoupling, float] = {}
    trained, began = 0.0, time.process_time()

    def train() -> None:
        nonlocal trained
        spans: dict[tuple[float, float], list[Decoupling]] = {}
        for point, fidelity in rung.items():
            spans.setdefault((done.get(point, 0.0), fidelity), []).append(point)
        trained += sum((end - start) * truth.together(points) for (start, end), points in spans.items())
        done.update(rung)
        rung.clear()

    def begin(point: Decoupling, fidelity: float) -> Callable[[], Score]:
        rung[point] = fidelity

        def wait() -> Score:
            train()
            return tabular(point, fidelity)

        return wait

    def told(point: Decoupling, fidelity: float, score: Score) -> None:
        if fidelity == 1:
            scores[point] = score
        if scores:
            best = min(scores, key=lambda other: scores[other].error)
            found = any(str(other) in truth.top for other in scores)
            answers.append(Answer(trained + time.process_time() - began, sum(done.values()), str(best), found))

    STRATEGIES.build(spec).search(problem, Evaluations(begin, at_once=len(truth.points), told=told), silent)
    return answers


def _remembered(asked: list[Decoupling], tabular: Tabular, decoupling: Decoupling) -> Score:
    asked.append(decoupling)
    return tabular(decoupling)


def exhaustive(truth: Truth, problem: Problem) -> list[Answer]:
    """One training of every decoupling, in one go."""
    tabular = Tabular(problem, truth.path)
    scores = {point: tabular(point) for point in truth.points}
    best = min(scores, key=lambda point: scores[point].error)
    ranked = truth.within({str(point): score.error for point, score in scores.items()})
    return [Answer(truth.together(truth.points), len(scores), str(best), True, ranked)]


def short_first(truth: Truth, short: Truth, share: float, problem: Problem) -> list[Answer]:
    """One training of every decoupling of the `share` of the iterations, its schedule to the end, in one go; then trainings of
    those with the lowest errors, one after the other."""
    tabular = Tabular(replace(short.problem, seed=problem.seed), short.path)
    found = {point: tabular(point).error for point in truth.points}
    rho = truth.within({str(point): error for point, error in found.items()})
    return trained_in_order(truth, problem, sorted(found, key=found.__getitem__), share * truth.together(truth.points), rho)


def supernet(truth: Truth, strategy: Supernet, runs: Path, problem: Problem) -> list[Answer]:
    """The ranking, then its best trained one after the other."""
    problem = replace(problem, runs=runs, results=Results(runs))
    shutil.rmtree(strategy.training(problem, silent).folder, ignore_errors=True)  # of a run that was stopped
    began = time.process_time()
    ranked = strategy.ranked(problem, silent)
    seconds = time.process_time() - began
    shutil.rmtree(strategy.training(problem, silent).folder, ignore_errors=True)
    rho = truth.within({str(point): value for point, value in ranked.items()})
    return trained_in_order(truth, problem, list(ranked)[: strategy.trials], seconds, rho)


def sedona(truth: Truth, settings: object, budget: float, runs: Path, problem: Problem) -> list[Answer]:
    """Its answer for each number of blocks, trained one after the other."""
    problem = replace(problem, runs=runs, results=Results(runs))
    architecture, _, seconds = searched(settings, problem, budget)  # type: ignore[arg-type]
    rho = truth.within({str(point): -float(log_probability(architecture, problem.space, point)) for point in truth.points})
    points = [discretise(architecture, problem.space, num_blocks) for num_blocks in problem.space.block_counts]
    return trained_in_order(truth, problem, points, seconds, rho)


def trained_in_order(
    truth: Truth, problem: Problem, points: Sequence[Decoupling], seconds: float, rho: float | None
) -> list[Answer]:
    """The best so far by the table's one seed."""
    tabular, answers, scores = Tabular(problem, truth.path), list[Answer](), dict[Decoupling, Score]()
    for point in points:
        scores[point] = tabular(point)
        seconds += truth.seconds[str(point)]
        best = min(scores, key=lambda other: scores[other].error)
        answers.append(Answer(seconds, len(scores), str(best), bool(truth.top & set(map(str, scores))), rho))
    return answers


def measured_before(path: Path, truth: Truth, num_blocks: int | None) -> pd.DataFrame:
    """The answers of SEDONA in sedona_truth.csv on a table of as many rows, each with the training of what it recommends; where
    several numbers of blocks are searched, the ones that it recommends itself, after a training of each."""
    if not path.is_file():
        return pd.DataFrame()
    rows = pd.read_csv(path)
    rows = rows[rows["table_rows"] == len(truth.all_rows)]
    rows = rows[rows["num_blocks"] == num_blocks] if num_blocks else rows[rows["recommended"] & rows["rho_num_blocks"].notna()]
    more = rows["equivalent_trainings" if num_blocks else "equivalent_trainings_any"] - rows["seconds"] / rows["training_seconds"]
    top = rows["decoupling"].isin(truth.top).astype(str)
    return pd.DataFrame(
        {
            "strategy": [f"sedona {row.engine}, {row.budget_seconds:.0f} s" for row in rows.itertuples()],
            "seed": rows["seed"],
            "seconds": rows["seconds"] + more * rows["training_seconds"],
            "training_seconds": rows["training_seconds"],
            "decoupling": rows["decoupling"],
            "regret": rows["decoupling"].map(truth.regret),
            "is_top": top,
            "found_top": top,
            "rho": rows["rho"],
        }
    )


def rows_of(answers: list[Answer], truth: Truth) -> list[dict[str, Cell]]:
    """Where the answer or `found` changes, and the last."""
    kept = [
        answer
        for n, answer in enumerate(answers)
        if n in (0, len(answers) - 1) or (answer.decoupling, answer.found) != (answers[n - 1].decoupling, answers[n - 1].found)
    ]
    best_rho = truth.best_rho() if num_seeds(truth) > 1 else None
    return [
        {
            "seconds": answer.seconds,
            "trainings": answer.trainings,
            "decoupling": answer.decoupling,
            "regret": float(truth.regret[answer.decoupling]),
            "is_top": answer.decoupling in truth.top,
            "found_top": answer.found,
            "rho": answer.rho,
            "best_rho": best_rho,
        }
        for answer in kept
    ]


def target(made: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """Median seconds until each target holds, over the seeds; infinite where fewer than half of the searches come there."""
    conditions = {
        "answer_in_top": made["is_top"] == "True",
        "trained_top": made["found_top"] == "True",
        "answer_within_half_a_point": made["regret"] <= NEAR,
    }
    lines: list[dict[str, Cell]] = []
    for strategy, group in made.groupby("strategy", sort=False):
        line: dict[str, Cell] = {"strategy": str(strategy), "seeds": group["seed"].nunique()}
        for name, holds in conditions.items():
            firsts = group[holds[group.index]].groupby("seed")["seconds"].min()
            every = firsts.reindex(group["seed"].unique(), fill_value=math.inf)
            line |= {f"{name}_seconds": float(every.median()), f"{name}_share": len(firsts) / len(every)}
        last = group.sort_values("seconds").groupby("seed").last()
        line |= {"seconds": float(last["seconds"].mean()), "regret": float(last["regret"].mean())}
        line |= {"regret_half_interval": half_interval(last["regret"]), "rho": float(last["rho"].mean())}
        line |= {"rho_half_interval": half_interval(last["rho"].dropna())}
        lines.append(line)
    found = pd.DataFrame(lines)
    of_random = found[found["strategy"] == "random"]
    for name in conditions:
        found[f"{name}_of_random"] = found[f"{name}_seconds"] / float(of_random[f"{name}_seconds"].iloc[0])
    return found


def half_interval(values: pd.Series) -> float:
    """Half of the 95 % interval of the mean."""
    n = len(values)
    return float(student_t.ppf(0.975, n - 1) * values.std() / n**0.5) if n > 1 else math.nan


def plot(made: pd.DataFrame, truth: Truth) -> Figure:
    """Mean regret and its interval against seconds; those that answer once, or a few times, as points."""
    figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=colormaps["tab20"].colors)  # type: ignore[attr-defined]  # of a ListedColormap
    grid = np.geomspace(max(1.0, 0.8 * min(truth.seconds.values())), made["seconds"].max(), 200)
    for strategy, group in made.groupby("strategy", sort=False):
        each = [
            steps.set_index("seconds")["regret"].sort_index().reindex(grid, method="ffill") for _, steps in group.groupby("seed")
        ]
        n, wide = len(each), pd.concat(each, axis=1)
        wide = wide[wide.notna().all(axis=1)]
        last = group.groupby("seed")["seconds"].max().median()
        wide = wide[wide.index <= last]
        if not str(strategy).startswith(("supernet", "sedona", "every")) and len(wide):
            mean, half = 100 * wide.mean(axis=1), 100 * student_t.ppf(0.975, n - 1) * wide.std(axis=1) / n**0.5
            (line,) = axes.plot(mean.index, mean, label=f"{strategy} (n={n})")
            axes.fill_between(mean.index, mean - half, mean + half, color=line.get_color(), alpha=0.12, linewidth=0)
        else:
            ends = group.sort_values("seconds").groupby("seed").last()
            axes.errorbar(
                ends["seconds"].mean(),
                100 * ends["regret"].mean(),
                yerr=100 * half_interval(ends["regret"]),
                fmt="s" if "sedona" in str(strategy) else "o",
                capsize=3,
                label=f"{strategy} (n={n})",
            )
    axes.axhline(100 * fmean(truth.regret), color="grey", linestyle=":", label="any decoupling, drawn blindly")
    axes.set(xscale="log", xlabel="seconds", ylabel="regret (percent points of test error)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 200 * fmean(truth.regret))  # intervals of a few searches may be longer
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


if __name__ == "__main__":
    main()
