"""How much a command may take: time, failed runs, and attempts at a run."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType

from methods.training.interruption import OWN
from nas.records.status import OK
from spaces.notation.errors import UserError

TRY_AGAIN_LATER = 75  # EX_TEMPFAIL of sysexits.h: an exit code that no error has
_UNITS = (86400, 3600, 60, 1)  # d, h, m, s


class TimeUp(KeyboardInterrupt):
    """The time of --time is over. What ran has saved its state, and the same command goes on."""

    exit_code = TRY_AGAIN_LATER

    def __init__(self, asked: str) -> None:
        super().__init__(asked)
        self.said = f"the time is up, which was {asked}{' s' if asked[-1].isdigit() else ''}"


def read_seconds(text: str) -> float:
    """Seconds, of `90`, `15m`, `2h`, `1d` or several of these, the largest first: `1h30m`."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)|(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip())
    if parts and text.strip():
        plain, *units = parts.groups()
        seconds = float(plain or sum(int(count or 0) * unit for count, unit in zip(units, _UNITS, strict=True)))
        if 0 < seconds < 1e9:
            return seconds
    raise UserError(f"--time is a length of time above 0, such as 90 (seconds), 15m, 2h, 1d or 1h30m, got {text!r}")


@dataclass(frozen=True)
class Budget:
    """What a command may take; None is no limit.

    time          how long, from when this was made, as it was asked for; `seconds` is the same
    max_failures  how many runs may fail before it stops
    retries       how often a run is tried again that was killed or ran out of memory. With None one that was killed is told and
                  left to the next command, and one that ran out of memory has failed
    """

    time: str | None = None
    max_failures: int | None = None
    retries: int | None = None
    began: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        if self.time is not None:
            read_seconds(self.time)
        if self.max_failures is not None and self.max_failures < 1:
            raise UserError(f"--max-failures is how many runs may fail before all stops, from 1 on, got {self.max_failures}")
        if self.retries is not None and self.retries < 0:
            raise UserError(f"--retries is how often a run is tried again, from 0 on, got {self.retries}")

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Raise TimeUp in what runs inside when the time is up: in training, which must be in the main thread, after the step
        that runs, whose state is saved."""
        if self.time is None:
            yield
            return
        asked = self.time

        def end(number: int, frame: FrameType | None) -> None:
            raise TimeUp(asked)

        try:
            before = signal.signal(OWN, end)
        except ValueError:
            raise UserError("time interrupts the main thread, got a call in another one; call there, or leave it out") from None
        signal.setitimer(signal.ITIMER_REAL, max(1e-3, self.began + read_seconds(asked) - monotonic()))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(OWN, before)


class Failures:
    """Counts runs that failed, up to the most that there may be."""

    def __init__(self, budget: Budget) -> None:
        self._most, self._count = budget.max_failures, 0

    def add(self, what: str, status: str) -> None:
        """One more run and its status; a UserError where too many have failed."""
        self._count += status != OK
        if status != OK and self._most is not None and self._count >= self._most:
            raise UserError(
                f"--max-failures is {self._most}, got so many failed runs, the last of them {what} ({status}); finished rows are "
                "kept, mend what fails or give a larger one"
            )
