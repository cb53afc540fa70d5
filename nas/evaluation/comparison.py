"""Several methods on several decouplings over several seeds, shared by all processes that run the same command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from nas.budget import Budget, Failures
from nas.evaluation.evaluator import Evaluator
from nas.evaluation.figures import notice_empty
from nas.evaluation.finish import Run, finish
from nas.evaluation.measurements.measurement import Measurement
from nas.evaluation.recorded_runs import Weights
from nas.evaluation.together import finish_together
from nas.evaluation.tuning import Choice, Tuning, chosen
from nas.executors.executor import Pool
from nas.notice import notice
from nas.problem import Problem, Report, report_end
from nas.records.event_files import EventFiles
from nas.records.log import Log
from nas.records.reuse import notice_other_commits, told_undigested
from nas.records.status import OK
from nas.runs.trained_run import FILE
from nas.side_by_side import SideBySide
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Job:
    """A run as it is sent to another process, which makes the same comparison of the same options; `waits` for whoever has it."""

    method: str
    settings: TrainingSettings
    seed: int
    decoupling: Decoupling
    tuning: bool
    waits: bool


class Comparison:
    """The runs of `methods` x `decouplings` x `seeds`, after choosing learning rate, schedule and weight decay for each method.

    `problem` gives everything else. A method gets each decoupling as it can use it (backprop: uncut), so rows that
    would be the same are one row. Where `rates`, `schedules` or `weight_decays` name several, each with each is tried with the
    method's first decoupling and first seed, for `tuning_iterations` where these are given, and the lowest validation error
    decides, alike for all methods (`nas.evaluation.tuning`); these rows go to `tuning_log` and never see the test split, and
    their weights are discarded. `measurements` are what each run is asked for
    beside its test error, `weights` what becomes of its weights (`Evaluator`), and `budget` what all may take.
    With `together` the decouplings of a method and seed are trained in one go (`methods.training.prefix_tree`).
    """

    def __init__(
        self,
        problem: Problem,
        methods: Sequence[str],
        decouplings: Sequence[str],
        seeds: Sequence[int],
        *,
        log: Log,
        tuning_log: Log,
        rates: Sequence[float],
        schedules: Sequence[str],
        weight_decays: Sequence[float] | None = None,
        tuning_iterations: int | None = None,
        measurements: Sequence[Measurement] = (),
        weights: Weights = "saved",
        report: Report,
        command: str,
        budget: Budget | None = None,
        side_by_side: SideBySide | None = None,
        together: bool = False,
        events: EventFiles | None = None,
        exit_errors: bool = True,
    ) -> None:
        self.side_by_side, self.together, self.events, self.exit_errors = side_by_side, together, events, exit_errors
        self.problem, self.seeds, self.report, self.command = problem, seeds, report, command
        self.log, self.tuning_log, self.measurements, self.weights = log, tuning_log, tuple(measurements), weights
        self.budget = budget or Budget()
        decays = (problem.settings.weight_decay,) if weight_decays is None else weight_decays
        self.tuning = Tuning.of(problem.settings, rates, schedules, decays, tuning_iterations)
        self.points = {method: self._points(method, decouplings) for method in map(str, map(METHODS.resolve, methods))}
        most = max(point.num_blocks for points in self.points.values() for point in points)
        for method in self.points:
            for measurement in self.measurements:
                measurement.check(method, most)
            if problem.settings.grow and not traits(method).has_exit_logits:
                raise UserError(
                    f"growing needs the logits of heads, but those of {method} give none; leave --grow, or the method, out"
                )

    def run(self, pool: Pool | None = None) -> list[dict[str, str]]:
        """Finish every run; the rows, method by method. What rows that are there are worth is told. The work of the `pool` is
        `attempt`, of the same comparison; without one this process does it."""
        failures = Failures(self.budget)
        tuning = [run for method in self.points for run in self._tuning(method)]
        self._tell_again()
        self._finish(tuning, pool, failures, tuning=True)
        runs = [run for method in self.points for run in self._runs(method)]
        if self.together:
            self._finish_together(runs, copy(failures))  # all are counted in the end
        self._finish(runs, pool, failures, tuning=False)
        for run in (*tuning, *runs):
            run.evaluator.write_events(run.decoupling)
        rows = [row for run in runs if (row := run.row)]
        notice_other_commits([*rows, *(row for run in tuning if (row := run.row))])
        notice_empty(rows, self.problem.figures)
        return rows

    def _finish(self, runs: Sequence[Run], pool: Pool | None, failures: Failures, *, tuning: bool) -> None:
        report = self.problem.results.heartbeat.steps(self.report)
        if pool is None:
            return finish(runs, report, budget=self.budget, failures=failures)

        def job(run: Run, waits: bool) -> Job:
            problem = run.evaluator.problem
            return Job(problem.method, problem.settings, problem.seed, run.decoupling, tuning, waits)

        finish(runs, report, pool, job=job, budget=self.budget, failures=failures)

    def _finish_together(self, runs: Sequence[Run], failures: Failures) -> None:
        """Those of a method and seed in one go, but what another process is at; no more once too many have failed."""
        ended, report = 0, self.problem.results.heartbeat.steps(self.report)
        report("runs", ended, len(runs))
        for evaluator, of_evaluator in groupby(runs, key=lambda run: run.evaluator):
            group = list(of_evaluator)
            finish_together(evaluator, [run.decoupling for run in group])
            for run in group:
                if (row := run.row) and not evaluator.is_to_be_repeated(run.decoupling):
                    report_end(report, run.what, float(row["validation_error"]), failed=row["status"] != OK)
                    failures.add(run.what, row["status"])
            ended += len(group)
            report("runs", ended, len(runs))

    def attempt(self, job: Job) -> bool:
        """`Run.attempt` of the run that the job is."""
        evaluator = self._evaluator(job.method, job.settings, job.seed, tuning=job.tuning)
        return Run(evaluator, job.decoupling).attempt(waits=job.waits)

    def _tell_again(self) -> None:
        """Which rows that are there are not enough, and why."""
        runs = [run for method in self.points for run in (*self._tuning(method), *self._decided(method))]
        for line in told_undigested(sum(run.row is None and run.evaluator.has_undigested(run.decoupling) for run in runs)):
            notice(line)
        for why, count in Counter(run.evaluator.why_again(run.decoupling) for run in runs).items():
            if why:
                notice(f"{count} run{'s' * (count > 1)} with a row {'are' if count > 1 else 'is'} trained again: {why}")
        if measured := sum(run.evaluator.only_measures(run.decoupling) for run in runs):
            notice(f"{measured} trained run{'s are' if measured > 1 else ' is'} measured with saved weights")

    def measured(self, measurement: Measurement) -> list[list[dict[str, str]]]:
        """For each file of the measurement what is recorded of every run, method by method."""
        runs = [run for method in self.points for run in self._runs(method)]
        found = [run.evaluator.measured(measurement, run.decoupling) for run in runs]
        return [[row for of_run in found for row in of_run[place]] for place in range(len(measurement.rows))]

    def with_figure(self, measurement: Measurement, column: str) -> list[dict[str, str]]:
        """The rows of all runs, each with the cell that the measurement, of one row a run, found of it; empty where the run
        failed. Runs that could not be measured are left out."""
        pairs = [(run, row) for method in self.points for run in self._runs(method) if (row := run.row)]
        found = [(row, run.evaluator.measured(measurement, run.decoupling)[0]) for run, row in pairs]
        return [{**row, column: own[0][column] if own else ""} for row, own in found if own or row["status"] != OK]

    def saved(self) -> list[Path]:
        """The folders of the runs whose weights are saved, method by method."""
        rows = [row for method in self.points for run in self._runs(method) if (row := run.row)]
        folders = [self.problem.runs / row["run"] for row in rows]
        return [folder for folder in folders if (folder / FILE).is_file()]

    def counts(self) -> tuple[int, int]:
        """Of the runs wanted whose settings are decided: how many are done already, and how many there are."""
        decided = [run for method in self.points for run in (*self._tuning(method), *self._decided(method))]
        return sum(run.is_done for run in decided), len(decided)

    def wanted(self, methods: Sequence[str] | None = None) -> list[tuple[Run, bool]]:
        """All runs of these methods, or of all, and whether each is a try; of a method whose settings are to be chosen yet those
        with the first of them."""
        methods = list(self.points) if methods is None else methods
        tries = [(run, True) for method in methods for run in self._tuning(method)]
        return [*tries, *((run, False) for method in methods for run in self._runs(method))]

    def _points(self, method: str, decouplings: Sequence[str]) -> list[Decoupling]:
        kind = traits(method)
        read = (self.problem.read_decoupling(text, method) for text in decouplings)
        return list(dict.fromkeys(map(kind.adapt, read)))

    def _tuning(self, method: str) -> list[Run]:
        return [
            Run(self._evaluator(method, settings, self.seeds[0], tuning=True), self.points[method][0])
            for settings in self.tuning.tries
        ]

    def choice(self, method: str) -> Choice | None:
        """What was chosen for the method; None where nothing is to be chosen, or not all was tried."""
        rows = [run.row for run in self._tuning(method)]
        found = [row for row in rows if row]
        return chosen(method, self.tuning, found) if found and len(found) == len(rows) else None

    def choices(self) -> list[Choice]:
        """What was chosen for each method; nothing where there was no choice."""
        return [choice for method in self.points if (choice := self.choice(method))]

    def _decided(self, method: str) -> list[Run]:
        return self._runs(method) if not self.tuning.tries or self.choice(method) else []

    def _runs(self, method: str) -> list[Run]:
        choice = self.choice(method)
        settings = self.tuning.settings[0] if choice is None else choice.settings
        evaluators = [self._evaluator(method, settings, seed, tuning=False) for seed in self.seeds]
        return [Run(evaluator, point) for evaluator in evaluators for point in self.points[method]]

    def _evaluator(self, method: str, settings: TrainingSettings, seed: int, *, tuning: bool) -> Evaluator:
        problem = replace(self.problem, method=method, settings=settings, seed=seed)
        log = self.tuning_log if tuning else self.log
        make = partial(
            Evaluator,
            log=log,
            report=self.report,
            command=self.command,
            retries=self.budget.retries or 0,
            side_by_side=self.side_by_side,
            events=self.events,
            exit_errors=self.exit_errors,
        )
        if tuning:
            return make(replace(problem, figures=()), test=False, labels={"strategy": "tune"})
        labels = {"tries": len(self.tuning.tries)} if self.tuning.tries else {}
        return make(problem, test=True, measurements=self.measurements, weights=self.weights, labels=labels)
