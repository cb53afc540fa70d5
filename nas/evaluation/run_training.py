"""Trains the runs of a problem, one alone or several in one go, and finds what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from methods.table import traits
from methods.training.batches import Batch
from methods.training.diverged import Diverged
from methods.training.epoch import Epoch
from methods.training.loop import FurtherCheckpoint, Progress, Trained, train
from methods.training.memory import out_of_memory
from methods.training.prefix_tree import train_together
from methods.training.stages.share import Share
from methods.training.stages.stage_checkpoints import has_checkpoint
from nas.cost import Cost, cost, timed
from nas.data.task_data import Batches
from nas.evaluation.figures import measured
from nas.evaluation.figures.training_run import TrainingRun
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE
from nas.problem import Problem, Report
from nas.records.heartbeat import Task
from nas.records.history import History
from nas.records.log import Cell
from nas.records.status import DIVERGED, OUT_OF_MEMORY
from nas.runs.folders import CHECKPOINT
from nas.side_by_side import SideBySide
from spaces.decoupling import Decoupling


class RunTraining:
    """Trains runs of one problem: a checkpoint lies in the folder that is given, and goes on from there.

    The history of a run has the error of every exit unless `exit_errors` is False. `side_by_side`: the processes that train the
    stages of a run.
    """

    def __init__(self, problem: Problem, report: Report, side_by_side: SideBySide | None, *, exit_errors: bool) -> None:
        self.problem, self.report, self.side_by_side = problem, report, side_by_side
        self._scores_exits = exit_errors and traits(problem.method).has_exit_logits  # in each validation of a training
        self._answers: dict[Decoupling, Trained | Diverged | FurtherCheckpoint] = {}  # of runs in one go, until one is asked for
        self._num_together = 0

    @cached_property
    def batches(self) -> Batches:
        """The training batches, of a replica's size where there are several."""
        settings, replicas = self.problem.settings, self.problem.settings.replicas or 1
        return self.problem.data.train_batches(settings.batch_size // replicas, limit=settings.class_limit)

    def validation(self) -> Iterator[Batch]:
        """The batches of the validation split."""
        return self.problem.data.eval_batches(self.problem.data.validation, EVAL_BATCH_SIZE)

    def train(
        self, decoupling: Decoupling, folder: Path, costs: Cost, history: History | None = None, *, until: int | None = None
    ) -> tuple[Trained, dict[str, Cell]]:
        """The trained run, and the figures that were measured meanwhile; of one that was trained in one go, its answer."""
        problem, checkpoint = self.problem, folder / CHECKPOINT
        if (answer := self._answers.pop(decoupling, None)) is not None:
            if isinstance(answer, Exception):
                raise answer
            with measured((), TrainingRun(answer.method, problem.device, 0, False)) as figures:
                return answer, {**figures(), "trained_together": self._num_together}
        method = problem.build(decoupling)
        what, grows = problem.named(decoupling), problem.settings.grow is not None
        report = partial(_pass_on, self.report, self._tasks_of(decoupling), what, grows, until)
        trained_stages, replicas = problem.trained_stages(method), problem.settings.replicas or 1
        seconds = [block.seconds or 0.0 for block in costs.blocks]
        others = (
            None
            if self.side_by_side is None
            else self.side_by_side.others(problem, decoupling, method, seconds, self.batches if replicas > 1 else None)
        )
        with measured(
            problem.figures, TrainingRun(method, problem.device, trained_stages, has_checkpoint(checkpoint))
        ) as figures:
            trained = train(
                method,
                self.batches if replicas == 1 else Share(self.batches, replicas, 0),
                self.validation,
                problem.settings,
                seed=problem.seed,
                device=problem.device,
                trained_stages=trained_stages,
                checkpoint=checkpoint,
                until=until,
                report=report,
                record=_untold if history is None else history.record,
                exit_errors=self._scores_exits,
                others=others,
            )
            # Seconds are of steps in which all stages train, uncompiled, and of a replica's share of the batch.
            plain = problem.settings.grow is None and problem.settings.compile == "no"
            are_timed = plain and not trained_stages and replicas == 1
            side = (
                {}
                if others is None or self.side_by_side is None
                else self.side_by_side.cells(others.plan, seconds if are_timed else None, trained.step_seconds)
            )
            return trained, {**figures(), **side}

    def train_together(
        self, points: Sequence[Decoupling], folders: Sequence[Path], histories: Sequence[History], *, until: int | None = None
    ) -> str | None:
        """Train these in one go, for `train` to find the answers; what was too much for the memory, or None."""
        problem = self.problem
        report = partial(self.report, runs=len(points))  # as many as one report is of
        try:
            answers = train_together(
                [problem.build(point) for point in points],
                self.batches,
                self.validation,
                problem.settings,
                seed=problem.seed,
                device=problem.device,
                checkpoints=[folder / CHECKPOINT for folder in folders],
                until=until,
                report=partial(_pass_on, report, self._tasks_of(*points), f"{len(points)} runs together", False, until),
                records=[history.record for history in histories],
                exit_errors=self._scores_exits,
            )
        except (MemoryError, RuntimeError, OSError) as error:
            if (reason := out_of_memory(error)) is None:
                raise
            return reason
        finally:
            self.release_batches()
        self._answers, self._num_together = dict(zip(points, answers, strict=True)), len(points)
        return None

    def _tasks_of(self, *points: Decoupling) -> list[Task]:
        """What other processes are told of these."""
        names = [self.problem.run_folder(self.problem.key(point)).name for point in points]
        tasks = [self.problem.results.heartbeat.task_of(name) for name in names]
        return [task for task in tasks if task]

    def forget_answers(self) -> None:
        """Of runs in one go that could not be written: another training of them has other answers."""
        self._answers.clear()

    def release_batches(self) -> None:
        """And what reads ahead, maybe in processes, while other runs have their turn."""
        vars(self).pop("batches", None)

    def cost(self, decoupling: Decoupling) -> Cost:
        """What the network, and a step in which all of it trains, cost, from shapes alone."""
        problem, data = self.problem, self.problem.data
        return cost(lambda: problem.build(decoupling), data.input_shape, data.num_classes, problem.settings.batch_size)

    def timed(self, decoupling: Decoupling, costs: Cost) -> Cost:
        """With the measured seconds of each stage's step, from which the bound on a pipeline's speed-up follows."""
        if len(costs.blocks) == 1:
            return costs  # whose bound is 1, whatever a step takes
        problem = self.problem
        x, y = self.batches.batch(problem.seed, 0)
        plain = replace(problem.settings, compile="no")  # compiling twice would cost more than it tells
        return timed(costs, problem.build(decoupling), plain, x, y, device=problem.device)


def failed_status(error: Exception) -> str | None:
    """The status of a run that ended with this error and is not to be tried again; None for what is no fault of the run."""
    if isinstance(error, Diverged):
        return f"{DIVERGED}: {error}"
    reason = out_of_memory(error)
    return None if reason is None else f"{OUT_OF_MEMORY}: {reason}"


def _untold(epoch: Epoch) -> None:
    """Of an epoch that is in the history already."""


def _pass_on(report: Report, tasks: Sequence[Task], what: str, grows: bool, until: int | None, progress: Progress) -> None:
    """To whoever started this, and to the `tasks` that other processes can see; a training may stop at `until`."""
    figures = {"loss": progress.losses[-1]}
    if grows:
        figures["stages"] = len(progress.losses)
    if progress.validation_error is not None:
        figures["validation_error"] = progress.validation_error
    for task in tasks:
        task.tell("training", progress.iteration, until or progress.iterations, figures)
    report(what, progress.iteration, progress.iterations, **figures)
