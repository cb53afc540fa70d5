"""A problem: what is searched, how it learns, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from methods.method import Method
from methods.sides import with_side
from methods.table import METHODS, traits
from methods.training.settings import TrainingSettings
from nas.data.task_data import TaskData
from nas.records.log import Cell
from nas.records.partial import ITERATIONS_TRAINED
from nas.records.results import Results
from nas.runs.extension import extended, trained_stages
from nas.runs.trained_run import TrainedRun, run_name
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace


class Report(Protocol):
    """Told how far something is: `what` runs, `done` of `total` steps, and figures of the moment by name.

    Those of the whole command are called searches, runs, trials or iterations; the last one of a run has the figure `failed`, 0
    or 1, and its `validation_error`.
    """

    def __call__(self, what: str, done: int, total: int, **figures: float) -> None: ...


def silent(what: str, done: int, total: int, **figures: float) -> None:
    """A report that does nothing: the default."""


def report_end(report: Report, what: str, validation_error: float, *, failed: bool) -> None:
    """That a run, or a trial, has ended, or was there before."""
    report(what, 1, 1, failed=float(failed), **({} if failed else {"validation_error": validation_error}))


@dataclass(frozen=True)
class Problem:
    """One space, one method and one task, with the settings that every evaluation shares.

    `method` and `task` are written with all their settings. `results` is where rows lie, `runs` the folder of
    unfinished runs. `objectives` are what a search minimises, names of `nas.objectives.OBJECTIVES`; an evaluation is the
    same whatever they are. `figures` are what is measured beside while a run trains (`nas.evaluation.figures`). `scale` is the
    share to which `data` and `settings` were shortened for a trial, None for none. `side` is what blocks are given beside the
    activation, with all its settings (`methods.sides`), None for nothing.
    `extends` is the trained run that is begun with, whose blocks stay as they are up to the first with a new input; None
    where all blocks are to be trained.
    """

    space: SearchSpace
    method: str
    task: str
    data: TaskData
    settings: TrainingSettings
    seed: int
    device: torch.device
    results: Results
    runs: Path
    objectives: tuple[str, ...] = ("error",)
    figures: tuple[str, ...] = ()
    scale: float | None = None
    side: str | None = None
    extends: TrainedRun | None = None

    def read_decoupling(self, text: str, method: str) -> Decoupling:
        """The decoupling that the text names, with the method's own heads where it names none; a rule that measures does so on
        the problem's device, in batches of its size."""
        with self.device:
            return read_decoupling(text, self.space, traits(method).default_head, batch_size=self.settings.batch_size)

    def named(self, decoupling: Decoupling) -> str:
        """The run in a few words, as reports and notices have it: `dgl 2:linear seed 0`."""
        return f"{self.method.partition('(')[0]} {self.adapt(decoupling)} seed {self.seed}"

    def adapt(self, decoupling: Decoupling) -> Decoupling:
        """The decoupling that the method trains when this one is asked for."""
        return traits(self.method).adapt(decoupling)

    def build(self, decoupling: Decoupling) -> Method:
        """A freshly initialised method on its network; equal seeds give equal backbones for every decoupling. With `extends`
        its first blocks have the run's weights, and a decoupling or side input that does not go on from the run a UserError."""
        torch.manual_seed(self.seed)
        net = self.space.build(
            decoupling,
            checkpoint_units=self.settings.checkpoint_units,
            head_lookahead=traits(self.method).head_lookahead,
            pixels=self.data.pixels,
        )
        base, side = METHODS.build(self.method, net), partial(with_side, spec=self.side, num_features=self.data.num_features)
        return side(base) if self.extends is None else extended(self.extends, base, side, self.data.inputs)

    def trained_stages(self, method: Method) -> int:
        """How many of the first stages of what `build` made are trained already, in the run that is extended."""
        return 0 if self.extends is None else trained_stages(self.extends, method)

    def iterations_at(self, fidelity: float) -> int:
        """How many iterations a training at this fidelity has, one at least."""
        if not 0 < fidelity <= 1:
            raise UserError(f"fidelity is the share of the iterations that is trained, above 0 and up to 1, got {fidelity:g}")
        return max(1, round(fidelity * self.settings.iterations))

    def shortened(self, fidelity: float) -> Problem:
        """The problem of trainings with a schedule of their own at this fidelity: of so many iterations, all else the same."""
        return replace(self, settings=replace(self.settings, iterations=self.iterations_at(fidelity)))

    def key(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, Cell]:
        """Every setting that an evaluation depends on, resolved; what makes two evaluations the same. That of a partial training
        says besides how far it goes."""
        iterations = self.iterations_at(fidelity)
        return {
            "method": self.method,
            "backbone": str(self.space.backbone),
            "decoupling": str(decoupling),
            "task": self.task,
            **self.data.content,
            "seed": self.seed,
            **asdict(self.settings),
            "scale": self.scale,
            "side": self.side,
            "extends": None if self.extends is None else self.extends.name,
            "extends_digest": None if self.extends is None else self.extends.digest,
            **({} if iterations == self.settings.iterations else {ITERATIONS_TRAINED: iterations}),
        }

    def run_folder(self, key: Mapping[str, Cell]) -> Path:
        """Where the unfinished state of the run with this key lies."""
        return self.runs / run_name(key)


@dataclass(frozen=True)
class Score:
    """What an evaluation found, on the validation split, and what a training step of it costs. Of a partial training the error is
    the lowest up to there.

    Errors are shares in 0..1, `peak_activation_bytes` are of one step, a stage at a time, `pipeline_speedup_bound` is the
    seconds of all stages over those of the largest. `status` is `ok` or says how the run failed.
    """

    error: float
    loss: float
    peak_activation_bytes: int
    pipeline_speedup_bound: float
    status: str = "ok"


class Pending(Protocol):
    """A score that is on its way."""

    def result(self) -> Score:
        """The score, once it and all that was asked for before it are there."""
        ...


class Evaluate(Protocol):
    """What a strategy asks: `evaluate(decoupling)` waits for the score.

    With a fidelity, the share of the iterations in (0, 1], the training stops there, and its checkpoint stays: asked for more, it
    goes on. All else is as in the whole run, the length of its schedule too; unless the strategy has `own_schedules`: then it is
    a run of its own, whose schedule ends there.

    With `begin` up to `at_once` are in flight; where there are as many, it waits for the oldest. They are told in the order of
    asking, whatever order they end in, so that what a strategy learns, and when, depends on scores and on `at_once` alone.
    """

    @property
    def at_once(self) -> int:
        """How many may be in flight."""
        ...

    def __call__(self, decoupling: Decoupling, fidelity: float = 1.0) -> Score: ...

    def begin(self, decoupling: Decoupling, fidelity: float = 1.0) -> Pending: ...


@dataclass(frozen=True)
class Found:
    """A search's answer: the decoupling that it recommends, which it has evaluated, and not only in part.

    front   what is not dominated of all that it evaluated, where the problem has several objectives; empty for one
    notes   what there is to say about how sure the answer is, a line each
    """

    decoupling: Decoupling
    front: tuple[Decoupling, ...] = ()
    notes: tuple[str, ...] = ()


@runtime_checkable
class Strategy(Protocol):
    """Decides which decouplings to evaluate.

    `evaluate` looks a decoupling up in the results or trains it and appends a row; a strategy that is started again
    with the same seed asks the same questions, so it goes on where it was.

    A strategy whose search is one long job of its own, and no row of trainings, says so by a class attribute
    `is_one_job = True`: searches with several seeds are then done side by side. One whose trainings at a fidelity below 1 are
    to have a whole schedule each, and not the beginning of the longer one, says `own_schedules = True`. One that knows how many
    whole trainings its iterations come to at most says so in a method `trainings(problem)`, for `--dry-run`; shorter trainings
    may make it a fraction.
    """

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What the strategy recommends. One that cannot minimise the problem's objectives refuses with a UserError."""
        ...
