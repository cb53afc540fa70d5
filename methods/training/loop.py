"""The one training loop: a stage at a time, backward before the next stage begins, one optimizer and one window a stage."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from methods.method import Method
from methods.training.batches import Batch, TrainBatches
from methods.training.epoch import Epoch
from methods.training.interruption import Interruptions
from methods.training.settings import TrainingSettings
from methods.training.stages.items import (
    Answer,
    Collect,
    Collected,
    Judged,
    Losses,
    Save,
    Saved,
    Step,
    Validated,
    Validating,
    Verdict,
)
from methods.training.stages.others import Others
from methods.training.stages.stage_checkpoints import StageCheckpoints
from methods.training.stages.worker import Best, StageWorker
from methods.training.trainer import Trainer, copy_weights
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Progress:
    """Where a run stands: losses of `iteration`, one a stage that runs; the validation error where it was just measured."""

    iteration: int
    iterations: int
    losses: tuple[float, ...]
    validation_error: float | None = None


@dataclass(frozen=True)
class Trained:
    """A finished run: `method` holds the best weights by validation error (a share in 0..1), never by test error; of one that was
    stopped before its end (`until`) the last."""

    method: Method
    validation_error: float
    validation_loss: float
    best_iteration: int
    train_loss: float
    step_seconds: float


class FurtherCheckpoint(UserError):
    """The checkpoint is of more iterations than the run is to have."""


def train(
    method: Method,
    batches: TrainBatches,
    validation: Callable[[], Iterator[Batch]],
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device,
    trained_stages: int = 0,
    checkpoint: Path | None = None,
    until: int | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    record: Callable[[Epoch], None] = lambda epoch: None,
    exit_errors: bool = False,
    others: Others | None = None,
) -> Trained:
    """Train every stage of `method` in its window of `settings.iterations`; validate after each epoch and where windows
    begin and end.

    The deepest exit that has begun is what is validated. Where a window ends, the method goes back to the weights that were
    best since the last stage began, so a later stage learns from the best of a frozen one. The first `trained_stages`, those
    of a run that is extended, stay as they are.
    Randomness inside a stage (dropout) is seeded by (seed, iteration, stage), so that a run continues from
    `checkpoint` to the bit after any interruption and a stage computes the same wherever it runs. A signal that ends the
    program does so after the iteration that runs, whose state is saved.

    With `until` the run stops after so many of its iterations, its checkpoint saved; asked for more, it goes on to the bit as one
    that never stopped. What comes out is the method as it stands, and the lowest validation error up to there. Where the run
    itself does not validate after so many, that is done once more, of no consequence to it. A checkpoint that is further raises
    FurtherCheckpoint.

    `record` hears of each validation once its iteration is done, in their order. A run that goes on from a checkpoint may tell
    those behind it once more, to the bit but for the seconds. With `exit_errors` a validation scores every exit, in the same
    pass; the heads of the method then give logits.

    With `others`, processes that this one is the first of, each trains the stages that their plan gives it, side by side;
    without replicas what comes out is the same, to the bit, and so is what is saved.
    Raises Diverged when a loss is not finite.
    """
    stages = range(method.num_stages) if others is None else others.stages
    until = settings.iterations if until is None else checked_until(until, settings)
    make = Trainer if others is None else others.trainer
    trainer = make(method, settings, seed=seed, device=device, trained_stages=trained_stages, stages=stages)
    described = f"{settings} seed={seed}"
    store = StageCheckpoints(checkpoint, described, stages=stages, num_stages=method.num_stages, device=device)
    run = _Run(trainer, store, batches.num_batches, validation, others, report, record, exit_errors=exit_errors)
    try:
        available = set(store.available())
        if others is not None:
            available &= others.begin(trainer, checkpoint, described, trained_stages, exit_errors=exit_errors)
        if start := max(available):
            if start > until:
                raise further_checkpoint(checkpoint, start, until)
            run.load(start)
        with Interruptions() as interruptions:
            for iteration in range(start, until):
                run.step(batches.batch(seed, iteration), iteration, validates=run.validates(iteration + 1))
                stops = interruptions.pending
                saves = store.due(force=run.is_judged or stops or iteration + 1 == until)
                if saves:
                    run.save(iteration + 1, waits=stops)
                if saves or stops:
                    interruptions.deliver()
        if not run.validates(until):
            run.look(until)
        return run.collected()
    finally:
        if others is not None:
            others.end()


def checked_until(until: int, settings: TrainingSettings) -> int:
    """After how many iterations a run is to stop."""
    if not 1 <= until <= settings.iterations:
        raise UserError(f"until is how many of the {settings.iterations} iterations are trained, from 1 on, got {until}")
    return until


def further_checkpoint(path: Path | None, start: int, until: int) -> FurtherCheckpoint:
    """That a checkpoint is of more iterations than a run is to have."""
    return FurtherCheckpoint(f"the checkpoint {path} is after {start} iterations, got until={until}; give another one")


class _Run:
    """What the process of the first stage does in the order of iterations, and what it is told by the others."""

    def __init__(
        self,
        trainer: Trainer,
        store: StageCheckpoints,
        num_batches: int,
        validation: Callable[[], Iterator[Batch]],
        others: Others | None,
        report: Callable[[Progress], None],
        record: Callable[[Epoch], None],
        *,
        exit_errors: bool,
    ) -> None:
        self.trainer, self.store, self.num_batches, self.validation = trainer, store, num_batches, validation
        self.others, self.report, self.record = others, report, record
        self.told: deque[Any] = deque()
        self.worker = StageWorker(trainer, store, self.told.append, exit_errors=exit_errors)
        self.began = time.perf_counter()
        self.iterations = trainer.settings.iterations
        self.starts, self.ends = map(set, zip(*trainer.windows, strict=True))
        self.losses = (math.nan,) * trainer.method.num_stages
        self.judged: Judged | None = None
        self.unjudged: int | None = None  # after so many iterations a validation began whose verdict is not there yet
        self.unsaved = 0  # processes that have not told yet that their checkpoint is on disk
        self.told_weights: list[Collected] = []
        self.is_judged = False
        self.looked: Best | None = None  # of a validation that is of no consequence

    def load(self, iteration: int) -> None:
        """Go on from the checkpoint of so many iterations."""
        self.worker.load(iteration)
        if self.others is not None:
            self.others.load(iteration)
        self._listen()
        self.began = time.perf_counter() - self.worker.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds that the run has taken, without the time in which nothing ran."""
        return time.perf_counter() - self.began

    def validates(self, done: int) -> bool:
        """Whether a validation comes after so many iterations."""
        return done % self.num_batches == 0 or done in self.starts | self.ends

    def step(self, batch: Batch, iteration: int, *, validates: bool) -> None:
        """One iteration, and the validation after it."""
        self._emit(Step(iteration, validates, *batch))
        self.is_judged = False
        self._listen()
        if validates:
            self._settle()
            self._validate(iteration)
            if self.others is None or iteration + 1 in self.starts | self.ends:
                self._settle()
        elif self.judged is not None:
            self._settle()

    def _validate(self, iteration: int) -> None:
        self._emit(Validating(iteration, {}))
        for x, y in self.validation():
            self._emit(Answer(iteration, x, y))
        self._emit(Validated(iteration))
        self.unjudged = iteration + 1

    def _settle(self) -> None:
        """Wait for the verdict on the last validation, if it is not there yet, and let all know it."""
        if self.unjudged is None:
            return
        while self.judged is None:
            self._listen(waits=True)
        done, judged, best = self.unjudged, self.judged, self.worker.best
        self.unjudged = self.judged = None
        self._emit(Verdict(done, judged.error, judged.loss, judged.error < best.error, done in self.ends))
        self.record(self._epoch(done, judged))
        self.report(Progress(done, self.iterations, self.losses, judged.error))
        self.is_judged = True

    def _epoch(self, done: int, judged: Judged) -> Epoch:
        deepest = self.trainer.num_running(done - 1) - 1
        return Epoch(
            done,
            done / self.num_batches,
            judged.stage_losses,
            judged.exit_errors,
            judged.error,
            judged.loss,
            self.trainer.scheduled_lr(deepest, done - 1),
            self.elapsed,
        )

    def look(self, done: int) -> None:
        """Validate after so many iterations, where the run itself does not: its best weights stay those that they are."""
        self._wait_until_saved()
        self._validate(done - 1)
        while self.judged is None:
            self._listen(waits=True)
        judged, self.judged, self.unjudged = self.judged, None, None
        self._emit(Verdict(done, judged.error, judged.loss, is_best=False, restores=False))
        self.looked = Best(judged.error, judged.loss, done)
        self.report(Progress(done, self.iterations, self.losses, judged.error))

    def save(self, done: int, *, waits: bool) -> None:
        """Let each process save its state after so many iterations, once all have saved the one before."""
        self._settle()
        self._wait_until_saved()
        self._emit(Save(done, self.elapsed))
        self.unsaved = 1 if self.others is None else self.others.num_savers
        if waits or self.others is None:
            self._wait_until_saved()

    def _wait_until_saved(self) -> None:
        while self.unsaved > 0:
            self._listen(waits=True)

    def collected(self) -> Trained:
        """The method with the best weights of all stages, in this process."""
        method, best = self.trainer.method, self.worker.best
        self._wait_until_saved()
        self._emit(Collect())
        while len(self.told_weights) < (1 if self.others is None else self.others.num_savers):
            self._listen(waits=True)
        step_seconds = next((one.step_seconds for one in self.told_weights if one.step_seconds is not None), math.nan)
        if not self.trainer.is_whole:
            method.to(device=self.trainer.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            for one in self.told_weights:
                copy_weights(method, one.weights)
        train_loss = sum(self.losses) / len(self.losses)
        if self.looked is not None and self.looked.error < best.error:
            best = self.looked
        return Trained(method, best.error, best.loss, best.iteration, train_loss, step_seconds)

    def _emit(self, item: Any) -> None:
        """Do what the item asks for, and hand on what it asks of the next process."""
        if self.others is not None:
            self.others.announce(item)
        passed = self.worker.handle(item)
        if self.others is not None and passed is not None:
            self.others.send(passed)

    def _listen(self, *, waits: bool = False) -> None:
        """Take in what was told; `waits` for something where nothing was."""
        if self.others is not None:
            self.told.extend(self.others.told(waits=waits and not self.told))
        while self.told:
            match self.told.popleft():
                case Losses() as found:
                    self.losses = found.losses
                    if found.are_new:
                        self.report(Progress(found.iterations, self.iterations, self.losses))
                case Judged() as judged:
                    self.judged = judged
                case Saved():
                    self.unsaved -= 1
                case Collected() as collected:
                    self.told_weights.append(collected)
