"""The energy that training takes, where the machine measures it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import torch

from nas.evaluation.figures.training_run import TrainingRun

POWERCAP = Path("/sys/class/powercap")
COUNTER_INTERVAL = 30.0  # seconds between readings of counters, which begin again after some minutes at the soonest
UNREADABLE = (OSError, ValueError, RuntimeError, ImportError)  # of a counter, and of NVML or its package for Python
POWER_INTERVAL = 0.1  # seconds between readings of a GPU's power


@contextmanager
def energy_joules(run: TrainingRun) -> Iterator[Callable[[], float | None]]:
    """Joules that training takes, of the CPU's packages or of the GPU, whatever else runs there included.

    None where nothing measures them, and where a part of training is over already. On a CPU the counters of its packages and
    their memory (RAPL, through Linux's powercap, which often only root may read); on a GPU its power (NVML, through
    `torch.cuda.power_draw`), times the seconds between readings.
    """
    meter = None if run.resumed else GpuPower.of(run.device) if run.device.type == "cuda" else EnergyCounters.of(POWERCAP)
    if meter is None:
        yield lambda: None
        return
    over, lost = Event(), Event()
    thread = Thread(target=_read_on, args=(meter, over, lost), daemon=True)
    thread.start()

    def reading() -> float | None:
        over.set()
        thread.join()
        with suppress(*UNREADABLE):  # no run is lost for a figure
            return None if lost.is_set() else meter.read()
        return None

    try:
        yield reading
    finally:
        over.set()
        thread.join()


class EnergyCounters:
    """Counters in microjoules that begin again at 0 once they reach a largest value."""

    interval = COUNTER_INTERVAL

    def __init__(self, folders: list[Path]) -> None:
        self._folders, self._total = folders, 0
        self._ranges = [int((folder / "max_energy_range_uj").read_text()) + 1 for folder in folders]
        self._last = self._counts()

    @classmethod
    def of(cls, powercap: Path) -> EnergyCounters | None:
        """Those of the packages and their memory; None where there are none that may be read."""
        with suppress(*UNREADABLE):
            named = {folder: (folder / "name").read_text().strip() for folder in sorted(powercap.glob("*-rapl:*"))}
            if folders := [folder for folder, name in named.items() if name.startswith("package") or name == "dram"]:
                return cls(folders)
        return None

    def read(self) -> float:
        """Joules since this was made."""
        counts = self._counts()
        self._total += sum((now - last) % size for now, last, size in zip(counts, self._last, self._ranges, strict=True))
        self._last = counts
        return self._total / 1e6

    def _counts(self) -> list[int]:
        return [int((folder / "energy_uj").read_text()) for folder in self._folders]


class GpuPower:
    """The power of a GPU, summed up over time (trapezoids)."""

    interval = POWER_INTERVAL

    def __init__(self, device: torch.device) -> None:
        self._device, self._total = device, 0.0
        self._last = self._power()

    @classmethod
    def of(cls, device: torch.device) -> GpuPower | None:
        """None where NVML, or its package for Python, is not there."""
        with suppress(*UNREADABLE):
            return cls(device)
        return None

    def read(self) -> float:
        """Joules since this was made."""
        (then, before), (now, watts) = self._last, self._power()
        self._total += (now - then) * (watts + before) / 2
        self._last = now, watts
        return self._total

    def _power(self) -> tuple[float, float]:
        """The time in seconds, and watts."""
        return time.monotonic(), torch.cuda.power_draw(self._device) / 1000


def _read_on(meter: EnergyCounters | GpuPower, over: Event, lost: Event) -> None:
    """Read often enough, until it is over; a reading that fails is `lost`, and with it the sum."""
    try:
        while not over.wait(meter.interval):
            meter.read()
    except UNREADABLE:
        lost.set()
