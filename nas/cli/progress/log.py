"""Progress in a log or a pipe: plain lines, few of them, without control characters."""

from __future__ import annotations

import sys

from nas.cli.progress.layout import counted, figures, paced
from nas.cli.progress.tracker import End, Tracker
from nas.duration import duration

SECONDS = 30.0  # between two lines that say how far it is


class LogLines:
    """A line at the end of each run, and where one takes long how far it is, every half a minute."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker, self._last = tracker, tracker.now

    def ended(self, end: End) -> None:
        """One line; none for a run that was there before."""
        if end.seconds is None:
            return
        error = "failed" if end.failed else "" if end.error is None else f"val error {100 * end.error:.2f} %"
        self._print([f"{end.what} ended", error, f"took {duration(end.seconds)}", self._whole()])

    def told(self) -> None:
        """A line where the last one was long ago."""
        if self._tracker.now - self._last < SECONDS:
            return
        for place, one in sorted(self._tracker.running.items()):
            pace = one.pace(self._tracker.now)
            name = f"worker {place}: {one.what}" if place else one.what
            steps = f"{one.done} of {one.total}"
            self._print([f"{name}: {steps}", *figures(one), "" if pace is None else paced(pace), "" if place else self._whole()])
        if any(self._tracker.running):  # workers, whose whole is said once
            self._print([self._whole()])

    def _whole(self) -> str:
        left = self._tracker.seconds_left()
        parts = [counted(self._tracker), "" if left is None else f"about {duration(left)} left"]
        return ", ".join(filter(None, parts))

    def _print(self, parts: list[str]) -> None:
        self._last = self._tracker.now
        if line := ", ".join(filter(None, parts)):
            print(line, file=sys.stderr, flush=True)
