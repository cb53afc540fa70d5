"""Signals that end the program wait until a step is done, so that what is saved is a state that a step left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # Ctrl-C; a queue's end of time; a terminal that is closed
OWN = signal.SIGALRM  # which the program sends itself: to a worker, and when its own time is up
HELD = (*ENDING, OWN)


class Interruptions:
    """`with Interruptions() as interruptions:` holds back the first signal, which is then `pending`, until `deliver` or the end
    of the block gives it to the handler that was there before; a second one comes through at once.

    Signals that no function handles are left alone, as are all in a thread that is not the main one, which gets none.
    """

    def __init__(self) -> None:
        self._pending: int | None = None
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    @property
    def pending(self) -> bool:
        """Whether a signal came that waits until the step is done."""
        return self._pending is not None

    def deliver(self) -> None:
        """Let the signal through that waits, if one does."""
        number, self._pending = self._pending, None
        if number is not None:
            self._handlers[number](number, None)

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            self._handlers[number](number, frame)
        self._pending = number

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is threading.main_thread():
            for number in HELD:
                if callable(handler := signal.getsignal(number)):
                    self._handlers[number] = handler
                    signal.signal(number, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.deliver()
