"""How far a command is: what it was told, and what follows of it for the time that is left. Draws nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# Reports that count parts of the whole command, the outer ones first; all others are of something that runs.
COUNTS = ("searches", "runs", "trials", "iterations")
ENDED = "failed"  # the figure that the report of a run's end has: 1 where it failed
TOGETHER = "runs"  # the figure that says of how many runs at once a report is
SURE = 0.02  # the share of the work that is to be done, and
LONG = 3.0  # the seconds that are to be over, before the time left is said


@dataclass
class Activity:
    """Something that runs: `done` of `total` steps. It was first told of at `began`, when `first` steps were done."""

    what: str
    done: int
    total: int
    began: float
    first: int
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def runs(self) -> float:
        """How many runs it is: several where they are trained in one go."""
        return self.figures.get(TOGETHER, 1.0)

    @property
    def share(self) -> float:
        """The share that is done, in 0..1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def pace(self, now: float) -> float | None:
        """Steps a second; None before two reports."""
        seconds = now - self.began
        return (self.done - self.first) / seconds if seconds > 0 and self.done > self.first else None

    def seconds_left(self, now: float) -> float | None:
        """At this pace; None where none is known."""
        pace = self.pace(now)
        return None if pace is None else (self.total - self.done) / pace


@dataclass(frozen=True)
class End:
    """A run that has ended; `seconds` is None where it was there before."""

    what: str
    failed: bool
    error: float | None
    seconds: float | None


class Tracker:
    """Is told what `Report` is told, and knows the rest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.began = clock()
        self.counts: dict[str, tuple[int, int]] = {}
        self.running: dict[int, Activity] = {}  # by worker; 0 is this process
        self.best: tuple[float, str] | None = None  # the lowest validation error of a run that ended, and which it was
        self.failed = 0
        self._known = 0.0  # of the whole, what took no time: it was there before
        self._whole_at_start: tuple[float, float] | None = None  # when the first run was told of, and how much was done then

    @property
    def now(self) -> float:
        """The clock's time."""
        return self._clock()

    def told(self, what: str, done: int, total: int, worker: int, figures: Mapping[str, float]) -> End | None:
        """One report; what it ended, if it did."""
        if what in COUNTS and not worker:
            self._counted(what, done, total)
            return None
        if ENDED in figures:
            return self._ended(what, figures)
        activity = self.running.get(worker)
        if activity is None or activity.what != what or done < activity.done:
            activity = self.running[worker] = Activity(what, done, total, self.now, done)
            if self._whole_at_start is None:
                self._whole_at_start = self.now, self.whole or 0.0
        activity.done, activity.total, activity.figures = done, total, dict(figures)
        return None

    def _counted(self, what: str, done: int, total: int) -> None:
        before = self.counts.get(what)
        self.counts[what] = max(done, before[0] if before and done else 0), total  # an end may have been told before its count
        if what == "searches" and before is not None and before[0] != done:  # what is inside begins anew
            for inner in COUNTS[1:]:
                self.counts.pop(inner, None)

    def _ended(self, what: str, figures: Mapping[str, float]) -> End:
        place = next((place for place, one in self.running.items() if one.what == what or TOGETHER in one.figures), None)
        seconds = None
        if place is not None:
            one = self.running[place]
            seconds = self.now - one.began
            if one.runs > 1:
                one.figures[TOGETHER] -= 1  # the others of those in one go
            else:
                del self.running[place]
        elif self._whole_at_start is not None:
            self._known += self._one_unit()
        for name in ("runs", "trials"):
            if name in self.counts:
                done, total = self.counts[name]
                self.counts[name] = min(total, done + 1), total
        failed, error = bool(figures[ENDED]), figures.get("validation_error")
        self.failed += failed
        if not failed and error is not None and (self.best is None or error < self.best[0]):
            self.best = error, what
        return End(what, failed, error, seconds)

    def _one_unit(self) -> float:
        """The share of the whole that one run or trial is; of iterations it is not known."""
        searches = self.counts.get("searches", (0, 1))[1]
        return next((1 / max(1, self.counts[name][1]) / searches for name in ("runs", "trials") if name in self.counts), 0.0)

    @property
    def whole(self) -> float | None:
        """The share of the whole command that is done, with that of what runs; None where nothing is counted."""
        inner = next((self.counts[name] for name in COUNTS[1:] if name in self.counts), None)
        searches = self.counts.get("searches")
        if inner is None:
            return searches[0] / searches[1] if searches and searches[1] else None
        done, total = float(inner[0]), inner[1]
        if not total:
            return None
        if "iterations" not in self.counts:
            done += sum(one.share * one.runs for one in self.running.values())
        share = min(1.0, done / total)
        return share if searches is None else min(1.0, (searches[0] + share) / max(1, searches[1]))

    def seconds_left(self) -> float | None:
        """Of the whole command, at the rate since the first run began; None while that is not known, and when all is done."""
        whole, now = self.whole, self.now
        if whole is None or whole >= 1 or self._whole_at_start is None:
            return None
        began, at_start = self._whole_at_start
        gained = whole - at_start - self._known
        if gained < SURE * (1 - at_start) or now - began < LONG:
            return None
        return (1 - whole) * (now - began) / gained
