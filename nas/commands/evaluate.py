"""`evaluate`: trains decouplings with several methods and seeds, and measures what comes out."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from methods.training.growth import check_grows
from methods.training.stages.plan import check_parted
from nas.commands.option import keywords_of, option
from nas.commands.parallel import read_parallel
from nas.commands.problem import TrainedProblemOptions, checked_seeds, read_iterations, read_problem
from nas.commands.python_call import python_call
from nas.commands.shared_options import ClassBatchesOptions, RatesOptions, RecordOptions, SideOptions
from nas.commands.work_options import WorkOptions, num_processes, read_budget, read_executor
from nas.evaluation.comparison import Comparison
from nas.evaluation.measurements.ensemble import Ensemble
from nas.evaluation.measurements.exits import Exits
from nas.evaluation.recorded_runs import Weights
from nas.evaluation.together import check_together
from nas.executors.executor import Work
from nas.problem import Problem, Report, silent
from nas.records.frames import typed
from nas.records.heartbeat import Task
from nas.records.row_kinds import RUNS
from spaces.notation.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from nas.plans.plan import Plan


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(SideOptions, ClassBatchesOptions, RatesOptions, WorkOptions, RecordOptions, TrainedProblemOptions):
    """What `evaluate` takes."""

    EPOCHS: ClassVar[int] = 30

    decoupling: tuple[str, ...] = option(
        ("even(3)",),
        "'3:conv(depth=1) 5:linear', even(K), balanced(K), published(K), layerwise or uncut",
        metavar="D",
        components=True,
    )
    methods: tuple[str, ...] = option(("dgl", "backprop"), "how to train; see `run.py list`", metavar="M", components=True)
    seeds: int = option(3, "seeds 0..N-1", metavar="N")
    scale: float | None = option(
        None,
        "a trial: of --epochs or --iterations, and of the samples for training and validation, the share S in 0..1, so "
        "that S * S is left of the steps of so many epochs; the test split stays whole, and rows say S",
        metavar="S",
    )
    ensemble: int = option(1, "also sum the last M heads at test time", metavar="M")
    exits: bool = option(
        False,
        "also write the error and the cost of stopping after each block, to exits.csv, and of leaving as soon as an exit "
        "is confident, to curves.csv",
    )
    calibrate: bool = option(False, "with --exits: divide each exit's logits by a temperature that is fitted on validation")
    measure: tuple[str, ...] = option(
        (),
        "also measure these figures while a run trains, such as energy_joules; see `run.py list`",
        metavar="FIGURE",
        components=True,
        may_be_empty=True,
    )
    discard_weights: bool = option(
        False,
        "save no weights; else those of what is trained are saved, so that nothing that is asked of a run later trains it again",
        excludes="weights",
    )
    grow: str | None = option(
        None,
        "train block by block: frozen(...), what is trained stays as it is, or training(...), it goes on; starts=[0,0.5] "
        "says after which share of training each begins",
        metavar="G",
        components=True,
    )
    parallel: str | None = option(
        None,
        "train the stages of each run side by side: stages(processes=2,depth=3) on this machine, or in the processes of "
        "torchrun; rows are the same, but with replicas=R, each on its share of a batch",
        metavar="P",
        components=True,
    )
    extend: Path | None = option(
        None,
        "begin with the blocks of this run, whose weights are saved, and train only those behind, or from the first on "
        "that --side gives a new input",
        metavar="RUN",
    )


def read_tuning_iterations(options: EvaluateOptions, problem: Problem) -> int | None:
    """Those of each try; None where tries are as long as runs. A length that has no effect is a UserError."""
    if options.tune_epochs is None and options.tune_iterations is None:
        return None
    flag = "--tune-epochs" if options.tune_iterations is None else "--tune-iterations"
    if len({*options.lr}) * len({*options.schedule}) * len({*options.weight_decay}) == 1:
        raise UserError(
            f"{flag} is the length of tries, which several of --lr, --schedule or --weight-decay have, got one of each; leave it "
            "out"
        )
    num_batches = problem.data.train_batches(options.batch_size).num_batches
    iterations = read_iterations(
        options.tune_iterations, options.tune_epochs or 0, num_batches, problem.scale or 1.0, flag="--tune-epochs"
    )
    if iterations >= problem.settings.iterations:
        raise UserError(
            f"tries are shorter than runs, got {flag} for {iterations} iterations of {problem.settings.iterations}; give fewer, "
            "or leave it out"
        )
    return iterations


class Evaluation:
    """An evaluation that is checked and ready: `run` does the work. What cannot be read, written or built is a UserError now,
    and not after hours of other runs."""

    def __init__(self, options: EvaluateOptions, report: Report, command: str) -> None:
        seeds = checked_seeds(0, options.seeds)
        self.options, self.report, self.command = options, report, command
        self.budget, self.executor = read_budget(options), read_executor(options)
        if options.calibrate and not options.exits:
            raise UserError("--calibrate is of the exits' logits, and --exits is not given; give both, or leave --calibrate out")
        if not all((options.methods, options.decoupling, options.lr, options.schedule, options.weight_decay)):
            raise UserError(
                "methods, decoupling, lr, schedule and weight_decay name one at least, got an empty list; leave it out for the "
                "default"
            )
        if options.parallel is not None and self.executor is not None:
            raise UserError(
                "runs go to workers, or the stages of each run to processes, got both; leave --parallel out, or --workers and "
                "--executor"
            )
        if options.train_together and options.parallel is not None:
            raise UserError("--train-together is one process, got --parallel as well; leave one of them out")
        self.side_by_side = read_parallel(options)
        first = options.lr[0], options.schedule[0], options.weight_decay[0]
        self.problem = read_problem(options, options.methods[0], 0, *first)
        self.log, self.tuning_log = (options.results.log(name, RUNS) for name in ("evaluate.csv", "search.csv"))
        self.exits = Exits.of(options.results, calibrated=options.calibrate) if options.exits else None
        self.ensemble = Ensemble.of(options.results, self.log, options.ensemble) if options.ensemble != 1 else None
        measurements = [one for one in (self.ensemble, self.exits) if one is not None]
        weights: Weights = "required" if options.save_weights else "discarded" if options.discard_weights else "saved"
        self.comparison = Comparison(
            self.problem,
            options.methods,
            options.decoupling,
            seeds,
            log=self.log,
            tuning_log=self.tuning_log,
            rates=options.lr,
            schedules=options.schedule,
            weight_decays=options.weight_decay,
            tuning_iterations=read_tuning_iterations(options, self.problem),
            measurements=measurements,
            weights=weights,
            report=report,
            command=command,
            budget=self.budget,
            events=options.event_files(),
            exit_errors=options.history == "exits",
            side_by_side=self.side_by_side,
            together=options.train_together,
        )
        self._check_builds()
        for other in (self.tuning_log, *(rows.log for one in measurements for rows in one.rows)):
            other.rows()  # what does not read is said now

    def _check_builds(self) -> None:
        if self.options.train_together:
            for method, points in self.comparison.points.items():
                if len(points) > 1:
                    check_together(replace(self.problem, method=method), method, max(points, key=lambda point: point.num_blocks))
            if all(len(points) == 1 for points in self.comparison.points.values()):
                raise UserError("--train-together is for several decouplings, got one for each method; leave it out")
        with torch.device("cpu" if self.problem.extends else "meta"):
            for method, points in self.comparison.points.items():
                for point in points:
                    built, settings = replace(self.problem, method=method).build(point), self.problem.settings
                    if self.side_by_side is not None:
                        check_parted(built, self.side_by_side.topology.processes, method)
                    for iterations in {settings.iterations, *(one.iterations for one in self.comparison.tuning.tries)}:
                        if settings.grow:
                            trained = self.problem.trained_stages(built)
                            check_grows(settings.grow, built.num_stages, iterations, trained=trained)

    def plan(self) -> Plan:
        """What `run` would do, in about which time and memory; nothing is written."""
        from nas.plans.of_comparison import plan_comparison

        return plan_comparison(self.comparison, processes=num_processes(self.executor), threads=self.options.threads)

    def run(self) -> list[dict[str, str]]:
        """Train and measure what is not there yet; the row of every run, cells as text."""
        told = self.problem.results.heartbeat.telling(Task({"command": self.command}, skips=True))
        with self.budget.limited(), told:
            if self.executor is not None:
                setup = partial(work_of_evaluate, self.options, self.command)
                with self.executor.open(setup, self.report, self.options.device) as pool:
                    return self.comparison.run(pool)
            with self.side_by_side or nullcontext():
                return self.comparison.run()


def work_of_evaluate(options: EvaluateOptions, command: str, report: Report) -> Work:
    """What a worker of an evaluation does, made in its own process: one run of the comparison at a time."""
    return Evaluation(options, report, command).comparison.attempt


@keywords_of(EvaluateOptions, "space", "task")
def evaluate(*given: Any, progress: Report = silent, **options: Any) -> pd.DataFrame:
    """Train decouplings with several methods and seeds, as `run.py evaluate` does; a row a run, in typed columns.

    What is there already is not trained again, whoever trained it. The columns are those of results/README.md; an empty cell is
    NA. What is measured beside (`exits=True`, `ensemble=3`) lies in the files of `results`, for `nas.read_results`. `progress` is
    called with what runs, how many steps are done, and of how many. Nothing is printed; what people should know goes to the
    logger "nas". A bad argument is a UserError.

        table = nas.evaluate("vgg11", "cifar10", decoupling=[found.decoupling, "even(4)"], methods=["dgl", "backprop"])
        table.groupby("method")["test_error"].mean()
    """
    with python_call(EvaluateOptions, "evaluate", ("space", "task"), given, options) as (read, command):
        return typed(Evaluation(read, progress, command).run())
