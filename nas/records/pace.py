"""How fast something goes, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST = 1.0  # seconds that are looked at before anything is said
AT_ONCE = 0.05  # seconds: a step that comes so soon after the one before was done already


class Pace:
    """Told how many steps are done, it says the seconds that the rest will take: as many for each step as one took so far.

    With `skips` steps that come at once, such as runs whose rows are there, do not count as steps that take time. What is told
    first is where it begins.
    """

    def __init__(self, *, skips: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._skips, self._clock = skips, clock
        self._began = self._told = clock()
        self._done: int | None = None
        self._steps = 0

    def tell(self, done: int) -> None:
        """So many are done by now."""
        now = self._clock()
        if self._done is None or done < self._done:
            self._began, self._steps = now, 0
        elif not self._skips or now - self._told >= AT_ONCE:
            self._steps += done - self._done
        self._done, self._told = done, now

    def seconds_left(self, total: int) -> float | None:
        """Of the steps up to `total`; None while nobody can say, and where all are done."""
        seconds = self._told - self._began
        if self._done is None or not self._steps or seconds < SHORTEST or self._done >= total:
            return None
        return max(0.0, (total - self._done) * seconds / self._steps - (self._clock() - self._told))
