"""How busy a GPU is while something runs, as its driver says (NVML)."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import mean

import torch

SECONDS = 2.0  # the driver's own period is up to one
_READINGS = 0.1  # seconds between two


def utilisation(step: Callable[[], object], device: torch.device, seconds: float = SECONDS) -> float | None:
    """The share of time, in 0..1, in which some kernel ran while `step` was repeated; None where nobody can say: on a CPU, and
    without the package nvidia-ml-py. It says nothing of how much of the GPU a kernel fills."""
    if device.type != "cuda":
        return None
    try:
        torch.cuda.utilization(device)
    except (ModuleNotFoundError, RuntimeError):
        return None
    readings: list[float] = []
    until = time.monotonic() + seconds
    begun = asked = time.monotonic()
    while (now := time.monotonic()) < until:
        step()
        if now - begun > seconds / 2 and now - asked >= _READINGS:
            readings.append(torch.cuda.utilization(device) / 100)
            asked = now
    torch.cuda.synchronize(device)
    return mean(readings) if readings else None
