"""What passes through the stages of a run, in order, from the process of the first to that of the last; and what is told back.

Each item is handled by every process with all that came before it done, so that a validation, a checkpoint or an end is of one
and the same iteration everywhere, though the processes are at different ones at any moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from methods.method import Method
from methods.training.batches import TrainBatches
from methods.training.settings import TrainingSettings

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class RunSettings:
    """What every process knows of a run."""

    settings: TrainingSettings
    seed: int
    trained_stages: int
    checkpoint: Path | None
    described: str
    exit_errors: bool


class Begin(NamedTuple):
    """A run begins: `build` makes the method, `plan` has the stages of each process, and `run` what else `Trainer` and the
    checkpoints take."""

    build: Callable[[], Method]
    batches: TrainBatches | None
    plan: tuple[range, ...]
    run: RunSettings


class Load(NamedTuple):
    """All go on from the checkpoint of so many iterations."""

    iterations: int


class Step(NamedTuple):
    """A batch to train on. `carry` is the input itself for the first stage; `losses` are those of the stages before, (m,).
    `reads`: whether the losses are looked at now, which a GPU is waited for."""

    iteration: int
    reads: bool
    carry: Any
    y: Any
    losses: torch.Tensor | None = None


class Validating(NamedTuple):
    """A validation after this iteration begins. `weights`: those of stages before that the logits of later exits need."""

    iteration: int
    weights: Weights


class Answer(NamedTuple):
    """A batch of validation; `carry` is the input itself for the first stage."""

    iteration: int
    carry: Any
    y: Any


class Validated(NamedTuple):
    """The validation is over. `exit_errors`: of the exits of the processes before, where they are asked for."""

    iteration: int
    exit_errors: tuple[float, ...] = ()


class Verdict(NamedTuple):
    """What a validation said after so many iterations: whether its weights are the `best` so far, and whether all go back to
    the best now, as a window of training ends."""

    iterations: int
    error: float
    loss: float
    is_best: bool
    restores: bool


class Save(NamedTuple):
    """A checkpoint after so many iterations, which took so many seconds."""

    iterations: int
    elapsed: float


class Collect(NamedTuple):
    """Training is over: every process tells the weights of its stages."""


class End(NamedTuple):
    """Forget the run, whether it is over or has failed."""


class Close(NamedTuple):
    """No run will follow."""


class Ready(NamedTuple):
    """Told back: the iterations whose state is in the checkpoints of these stages, and a digest of the weights that they begin
    with, which has to be that of the first process."""

    stages: range
    available: list[int]
    digest: str


class Ended(NamedTuple):
    """Told back: the run is forgotten."""


class Losses(NamedTuple):
    """Told back: the losses of the last of so many iterations, one a stage that runs; not new from a checkpoint."""

    iterations: int
    losses: tuple[float, ...]
    are_new: bool = True


class Judged(NamedTuple):
    """Told back: what the validation found, of each exit too where that is asked for; and of each stage that runs the mean loss
    since the last validation."""

    error: float
    loss: float
    exit_errors: tuple[float, ...]
    stage_losses: tuple[float, ...]


class Saved(NamedTuple):
    """Told back: the checkpoint of these iterations is on disk."""

    iterations: int


class Collected(NamedTuple):
    """Told back: the weights of a process's stages, and from the one whose losses are looked at the median seconds of an
    iteration."""

    weights: Weights
    step_seconds: float | None


class Failed(NamedTuple):
    """Told back: what ended a process's part of the run. `kind`: diverged, memory, refused, system or bug."""

    kind: str
    stages: str
    told: str
