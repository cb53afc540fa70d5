"""What a training step of each stage takes, measured until the share of the largest stage is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import torch

from methods.method import Method
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from spaces.clock import seconds_on

WANTED, MOST_SECONDS = 0.015, 2.0  # two measurements of twice this uncertainty agree within 5 %
_FEWEST = 6  # turns: the extremes of fewer are no 95 % interval of the median


@dataclass(frozen=True)
class StageSeconds:
    """Seconds of one training step of each stage, on the device's own clock: medians of `turns` steps.

    uncertainty   of the largest stage's share of them, and so of the pipeline's bound: half the width of the median's 95 %
                  interval, a share in 0..1; 0 for one stage
    """

    seconds: tuple[float, ...]
    turns: int
    uncertainty: float

    @property
    def bound(self) -> float:
        """Seconds of all stages over those of the slowest: what a process each could gain at most."""
        return sum(self.seconds) / max(self.seconds)


def stage_seconds(
    method: Method,
    settings: TrainingSettings,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    device: torch.device,
    wanted: float = WANTED,
    most_seconds: float = MOST_SECONDS,
) -> StageSeconds:
    """Measure steps of every stage of `method` on one batch until the uncertainty is at most `wanted`, or `most_seconds`
    were computed, so that a busy machine measures as well as a quiet one. Trains `method`, all stages from the start.

    The stages take turns, each turn being one iteration, so that what slows the machine for a while slows all of them. On a
    CPU they are counted by `seconds_on`; on a GPU they lie between events of its stream. The first turn, in which kernels are
    chosen and memory is first taken, is left out, and at least six follow.
    """
    trainer = Trainer(method, replace(settings, grow=None), seed=0, device=device)
    turn = _gpu_turn if device.type == "cuda" else _cpu_turn
    turn(trainer, x, y)
    turns = [turn(trainer, x, y)]
    while len(turns) < _FEWEST or (uncertainty_of(turns) > wanted and sum(map(sum, turns)) < most_seconds):
        turns.append(turn(trainer, x, y))
    return StageSeconds(_medians(turns), len(turns), uncertainty_of(turns))


def uncertainty_of(turns: Sequence[Sequence[float]]) -> float:
    """Half the width of the median's 95 % interval of the largest stage's share, relative to it: the interval between two
    order statistics, which supposes nothing of how seconds are distributed. Of six turns or more, of each stage's seconds."""
    medians = _medians(turns)
    largest = medians.index(max(medians))
    shares = sorted(turn[largest] / sum(turn) for turn in turns)
    below = max(0, math.floor((len(shares) - 1.96 * math.sqrt(len(shares))) / 2))
    return (shares[-1 - below] - shares[below]) / 2 / median(shares)


def _medians(turns: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(map(median, zip(*turns, strict=True)))


def _steps(trainer: Trainer, x: torch.Tensor, y: torch.Tensor, mark: Callable[[], None]) -> None:
    """The first iteration, in which all stages train, with a mark before the first stage and after each."""
    carry = trainer.method.start(x, y)
    mark()
    for k in range(trainer.method.num_stages):
        carry, _ = trainer.stage_step(k, carry, y, 0)
        mark()


def _cpu_turn(trainer: Trainer, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    marks: list[float] = []
    _steps(trainer, x, y, lambda: marks.append(seconds_on(trainer.device)))
    return [after - before for before, after in pairwise(marks)]


def _gpu_turn(trainer: Trainer, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    """The device is waited for once a turn and not after each stage, so that it has work all the time, as in training."""
    stream, events = torch.cuda.current_stream(trainer.device), []

    def mark() -> None:
        events.append(torch.cuda.Event(enable_timing=True))
        events[-1].record(stream)

    _steps(trainer, x, y, mark)
    events[-1].synchronize()
    return [before.elapsed_time(after) / 1000 for before, after in pairwise(events)]
