"""The progress of a command, as a `Report`: bars in a terminal, a plain line now and then elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import Any, Self

from nas.cli.progress.tracker import Tracker
from nas.cli.terminal import is_terminal, unfiltered, without_controls

SECONDS = 0.5  # between two drawings, at least,
IDLE = 1.0  # and at most, while nothing is told
QUICK = 0.5  # seconds of a command that shows no bars


class Progress:
    """`with Progress(quiet=...) as progress:` shows what `progress` is told, from whatever thread, and leaves nothing behind.

    In a terminal all that is printed meanwhile, and not only by us, stands above the bars.
    """

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet, self._clock = quiet, clock
        self._tracker = Tracker(clock)
        self._lock, self._stack = threading.RLock(), ExitStack()
        self._drawer: Any = None  # what shows it, between `__enter__` and `__exit__`
        self._next = clock() + QUICK
        self._ended = threading.Event()

    def __call__(self, what: str, done: int, total: int, *, worker: float = 0, **figures: float) -> None:
        if self._quiet:
            return
        with self._lock:
            end = self._tracker.told(what, done, total, int(worker), figures)
            if self._drawer is None:
                return
            if end is not None:
                self._drawer.ended(end)
            self._draw()

    def _draw(self) -> None:
        """Unless it was drawn just now."""
        now = self._clock()
        if now >= self._next:
            self._next = now + SECONDS
            self._drawer.told()

    def _tick(self) -> None:
        """Time goes on, and windows change, while nothing is told."""
        while not self._ended.wait(IDLE):
            with self._lock:
                if self._drawer is not None:
                    self._draw()

    def __enter__(self) -> Self:
        if self._quiet:
            return self
        ticking = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._stack.callback(ticking.join)
        self._stack.callback(self._ended.set)
        if is_terminal(sys.stderr):
            from nas.cli.progress.bars import Bars  # rich takes time to import

            self._drawer = Bars(self._tracker, unfiltered(sys.stderr))
            self._stack.callback(self._drawer.close)
            self._stack.enter_context(redirect_stderr(self._drawer.above(sys.stderr, without_controls)))
            if is_terminal(sys.stdout):
                self._stack.enter_context(redirect_stdout(self._drawer.above(sys.stdout, without_controls)))
        else:
            from nas.cli.progress.log import LogLines

            self._drawer = LogLines(self._tracker)
        ticking.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._drawer = None
        self._stack.close()
