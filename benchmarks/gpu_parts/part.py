"""What the parts of benchmarks/gpu.py share: where they write, how long they may take, and how they go on."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.command import made_by
from nas.records.log import Cell
from nas.records.provenance import device_name
from nas.records.results_log import ResultsLog
from spaces.notation.errors import UserError

Row = dict[str, Cell]


@dataclass(frozen=True)
class Setup:
    """Where a part runs and writes, and until when, on time.monotonic(); a rehearsal is of tiny sizes, on any device."""

    device: torch.device
    out: Path
    runs: Path
    until: float
    rehearse: bool = False
    commit: str | None = None
    failed: list[str] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        """Until the time is up; not above 0 where it is."""
        return self.until - time.monotonic()

    @cached_property
    def device_name(self) -> str:
        """As rows have it."""
        return device_name(self.device)

    def log(self, part: str) -> ResultsLog:
        """The CSV of a part."""
        return ResultsLog(self.out / f"{part}.csv")

    def source(self) -> Row:
        """The columns that say how a row was made; where git cannot tell, the commit is the one that was given."""
        made: Row = {"device": self.device_name, "rehearsal": self.rehearse, **made_by()}
        return made | ({"commit": self.commit} if self.commit else {})


@dataclass(frozen=True)
class Done:
    """How far a part is: so many of all of its measurements, and the file that has them."""

    done: int
    total: int
    file: Path

    @property
    def is_complete(self) -> bool:
        return self.done == self.total


@dataclass(frozen=True)
class Case:
    """A measurement: what tells its rows from others, and the figures of each row."""

    key: Mapping[str, Cell]
    measure: Callable[[], Sequence[Row]]


@dataclass(frozen=True)
class Part:
    """A part: what it measures, what it has done by now, and how it goes on until the time is up."""

    name: str
    what: str
    progress: Callable[[Setup], Done]
    run: Callable[[Setup], None]


def measuring(name: str, what: str, cases: Callable[[Setup], Sequence[Case]]) -> Part:
    """A part of short measurements, in order; those whose rows are in the CSV, of this GPU, are not made again.

    One that torch cannot do here, for want of memory or of a compiler, is told, and the next is made; it is tried again when
    the script is.
    """

    def key(setup: Setup, case: Case) -> Row:
        return {**case.key, "device": setup.device_name, "rehearsal": setup.rehearse}

    def progress(setup: Setup) -> Done:
        log, wanted = setup.log(name), cases(setup)
        return Done(sum(log.find(key(setup, case)) is not None for case in wanted), len(wanted), setup.out / f"{name}.csv")

    def run(setup: Setup) -> None:
        log = setup.log(name)
        for case in cases(setup):
            if log.find(key(setup, case)) is not None:
                continue
            if setup.seconds_left <= 0:
                return
            try:
                rows = case.measure()
            except (RuntimeError, UserError, ImportError) as error:
                said = " ".join(str(error).split())[:200]
                setup.failed.append(f"{name} {', '.join(map(str, case.key.values()))}: {said}")
                print(f"  failed: {setup.failed[-1]}", flush=True)
                continue
            finally:
                gc.collect()
                if setup.device.type == "cuda":
                    torch.cuda.empty_cache()
            log.append_all([{**case.key, **row, **setup.source()} for row in rows])

    return Part(name, what, progress, run)
