"""Several methods on several decouplings over several seeds, shared by all processes that run the same command."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from methods.table import METHODS, adapter, answers_early, method_class
from methods.training.settings import TrainingSettings
from nas.evaluation.evaluator import Evaluator
from nas.exits.logs import ExitLogs
from nas.notice import notice
from nas.problem import Problem, Report
from nas.records.results_log import ResultsLog
from nas.records.reuse import notice_other_commits, told_undigested
from nas.runs.trained_run import FILE
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling


@dataclass(frozen=True)
class Run:
    """One evaluation that is wanted."""

    evaluator: Evaluator
    decoupling: Decoupling

    @property
    def row(self) -> dict[str, str] | None:
        """Its row, once there is one."""
        return self.evaluator.recorded(self.decoupling)


def finish(runs: Iterable[Run], report: Report) -> None:
    """Train what has no row yet. What another process is training is left to it, and waited for at the end."""
    pending, done = list(runs), 0
    total = len(pending)
    while pending:
        for run in list(pending):
            if run.row is None:
                claim = run.evaluator.claim(run.decoupling)
                if not claim.try_take():
                    continue
                try:
                    if run.row is None:  # still, now that nobody else trains it
                        run.evaluator.run(run.decoupling)
                finally:
                    claim.release()
            else:
                run.evaluator.tidy(run.decoupling)
            pending.remove(run)
            done += 1
            report("runs", done, total)
        if pending:
            with pending[0].evaluator.claim(pending[0].decoupling):
                pass


class Comparison:
    """The runs of `methods` x `decouplings` x `seeds`, after choosing a learning rate and a schedule for each method.

    `problem` gives everything else. A method gets each decoupling as it can use it (backprop: uncut), so rows that
    would be the same are one row. Where `rates` or `schedules` name several, every pair is tried with the method's
    first decoupling and first seed, and the lowest validation error decides, alike for all methods; these rows go to
    `tuning_log` and never see the test split.
    """

    def __init__(self, problem: Problem, methods: Sequence[str], decouplings: Sequence[str], seeds: Sequence[int], *,
                 log: ResultsLog, tuning_log: ResultsLog, rates: Sequence[float], schedules: Sequence[str], ensemble: int,
                 exits: ExitLogs | None = None, keep: bool = False, report: Report, command: str) -> None:
        self.problem, self.seeds, self.report, self.command = problem, seeds, report, command
        self.log, self.tuning_log, self.ensemble, self.exits, self.keep = log, tuning_log, ensemble, exits, keep
        self.grid = [replace(problem.settings, lr=lr, schedule=schedule) for lr in rates for schedule in schedules]
        self.points = {method: self._points(method, decouplings) for method in map(str, map(METHODS.resolve, methods))}
        most = max(point.num_blocks for points in self.points.values() for point in points)
        if ensemble > most:
            raise UserError(f"an ensemble sums the last heads of a network; {ensemble} came, but no run has more than {most}")
        for method in self.points:
            asks = ensemble > 1 or exits or problem.settings.grow
            if asks and not answers_early(method):
                raise UserError(f"an ensemble, early exits and growing need the logits of heads, but those of {method} give "
                                "none; leave --ensemble, --exits and --grow, or the method, out")

    def run(self) -> list[dict[str, str]]:
        """Finish every run; the rows, method by method. What rows that are there are worth is told."""
        tuning = [run for method in self.points for run in self._tuning(method)]
        self._tell_again()
        finish(tuning, self.report)
        runs = [run for method in self.points for run in self._runs(method)]
        finish(runs, self.report)
        rows = [row for run in runs if (row := run.row)]
        notice_other_commits([*rows, *(row for run in tuning if (row := run.row))])
        return rows

    def _tell_again(self) -> None:
        """Which rows that are there are not taken, and why."""
        runs = [run for method in self.points for run in (*self._tuning(method), *self._decided(method))]
        for line in told_undigested(sum(run.row is None and run.evaluator.has_undigested(run.decoupling) for run in runs)):
            notice(line)
        for why, count in Counter(run.evaluator.why_again(run.decoupling) for run in runs).items():
            if why:
                notice(f"{count} run{'s' * (count > 1)} with a row {'are' if count > 1 else 'is'} trained again: {why}")

    def exit_rows(self) -> list[dict[str, str]]:
        """What is recorded of the exits of every run, method by method."""
        runs = [run for method in self.points for run in self._runs(method)]
        return [row for run in runs for row in run.evaluator.exit_rows(run.decoupling)]

    def curve_rows(self) -> list[dict[str, str]]:
        """What is recorded of adaptive inference of every run, method by method."""
        runs = [run for method in self.points for run in self._runs(method)]
        return [row for run in runs for row in run.evaluator.curve_rows(run.decoupling)]

    def kept(self) -> list[Path]:
        """The folders of the runs whose weights are there, method by method."""
        rows = [row for method in self.points for run in self._runs(method) if (row := run.row)]
        folders = [self.problem.runs / row["run"] for row in rows]
        return [folder for folder in folders if (folder / FILE).is_file()]

    def counts(self) -> tuple[int, int]:
        """Of the runs wanted whose settings are decided: how many have their row already, and how many there are."""
        decided = [run for method in self.points for run in (*self._tuning(method), *self._decided(method))]
        return sum(run.row is not None for run in decided), len(decided)

    def _points(self, method: str, decouplings: Sequence[str]) -> list[Decoupling]:
        kind = method_class(method)
        read = (read_decoupling(text, self.problem.space, kind.default_head) for text in decouplings)
        return list(dict.fromkeys(map(adapter(method), read)))

    def _tuning(self, method: str) -> list[Run]:
        if len(self.grid) == 1:
            return []
        return [
            Run(self._evaluator(method, settings, self.seeds[0], tuning=True), self.points[method][0])
            for settings in self.grid
        ]

    def _chosen(self, method: str) -> TrainingSettings:
        def validation(run: Run) -> tuple[float, float]:
            row = run.row
            return (float(row["validation_error"]), float(row["validation_loss"] or math.inf)) if row else (math.inf, 0.0)

        tuning = self._tuning(method)
        return min(tuning, key=validation).evaluator.problem.settings if tuning else self.grid[0]

    def _decided(self, method: str) -> list[Run]:
        return self._runs(method) if all(run.row for run in self._tuning(method)) else []

    def _runs(self, method: str) -> list[Run]:
        chosen = self._chosen(method)
        evaluators = [self._evaluator(method, chosen, seed, tuning=False) for seed in self.seeds]
        return [Run(evaluator, point) for evaluator in evaluators for point in self.points[method]]

    def _evaluator(self, method: str, settings: TrainingSettings, seed: int, *, tuning: bool) -> Evaluator:
        problem = replace(self.problem, method=method, settings=settings, seed=seed)
        if tuning:
            return Evaluator(problem, self.tuning_log, self.report, command=self.command, test=False,
                             labels={"strategy": "tune"})
        return Evaluator(problem, self.log, self.report, command=self.command, test=True, ensemble=self.ensemble,
                         exits=self.exits, keep=self.keep)
