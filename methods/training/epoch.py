"""What training tells of itself at each validation: after every epoch, and where windows of stages begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """A run after `iteration` iterations, when it was validated.

    iteration         how many iterations are done
    epoch             the same in passes over the training split; a fraction where a window begins or ends within one
    stage_losses      of each stage that has begun the mean loss over the iterations since the last validation
    exit_errors       of each exit that has begun the share of wrong answers on the validation split, the last being
                      `validation_error`; empty where they were not asked for, as where heads give no logits
    validation_error  of the deepest exit that has begun, a share in 0..1
    validation_loss   its mean cross-entropy, in nats
    scheduled_lr      the learning rate of the last iteration, after the schedule's factor, of the deepest stage that has begun
    seconds           that the run has taken, without the time in which nothing ran; NaN where an older version began it
    """

    iteration: int
    epoch: float
    stage_losses: tuple[float, ...]
    exit_errors: tuple[float, ...]
    validation_error: float
    validation_loss: float
    scheduled_lr: float
    seconds: float


@dataclass
class EpochLosses:
    """The losses since the last validation: of each stage that runs their sum over `count` iterations."""

    sums: tuple[float, ...] = ()
    count: int = 0

    def add(self, losses: Sequence[float]) -> None:
        """Those of an iteration, one a stage."""
        before = self.sums or (0.0,) * len(losses)
        self.sums = tuple(summed + loss for summed, loss in zip(before, losses, strict=True))
        self.count += 1

    @property
    def means(self) -> tuple[float, ...]:
        """Of each stage."""
        return tuple(summed / self.count for summed in self.sums)
