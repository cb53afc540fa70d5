"""Losses that wait on the device, and the seconds of a training step."""

from __future__ import annotations

import time
from statistics import median

import torch


class StepClock:
    """The losses of up to `interval` iterations are looked at together, and the time is taken then: on a GPU each look waits
    for it. `seconds` holds the mean of an iteration for each look."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._waiting: list[torch.Tensor] = []
        self.seconds: list[float] = []
        self.restart()

    def restart(self) -> None:
        """Begin an interval after something that is not a training step."""
        self._started = time.perf_counter()

    def add(self, losses: torch.Tensor) -> None:
        """The losses (m,) of an iteration, one a stage that runs."""
        self._waiting.append(losses)

    @property
    def waits(self) -> bool:
        """Whether there are losses that nobody has looked at."""
        return bool(self._waiting)

    @property
    def due(self) -> bool:
        """Whether as many iterations were run as are timed at once."""
        return len(self._waiting) >= self.interval

    def read(self) -> list[list[float]]:
        """The losses of each iteration since the last reading, of which there is one at least."""
        rows = torch.stack(self._waiting).tolist()
        self.seconds.append((time.perf_counter() - self._started) / len(rows))
        self._waiting.clear()
        self.restart()
        return rows

    @property
    def step_seconds(self) -> float:
        """Median seconds an iteration."""
        return median(self.seconds)
