"""How the program ends early, and how it meets streams that nobody reads. Imports nothing that takes time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from types import FrameType
from typing import Any

from methods.training.interruption import ENDING


class Ended(KeyboardInterrupt):
    """A signal that ends the program; the exit code is 128 and its number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.said = "interrupted" + ("" if number == signal.SIGINT else f" by {signal.Signals(number).name}")


@contextmanager
def signals_raise_ended() -> Iterator[None]:
    """Those that were ignored, as by nohup, still are."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number in _heeded():
            signal.signal(number, end)
        yield
    finally:
        with suppress(ValueError):  # not in the main thread, where nothing was changed
            for number, handler in before.items():
                signal.signal(number, handler)


def end_at_once_on_signals() -> None:
    """While there is nothing to save: before the program begins, and when it is done."""

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, b"interrupted\n")
        os._exit(128 + number)

    for number in _heeded():
        signal.signal(number, end)


def _heeded() -> list[signal.Signals]:
    try:
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
    except ValueError:  # a thread that is not the main one may not
        return []
    return [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]


def open_streams() -> None:
    """Streams that were closed (`>&-`) lead nowhere, so that no results file is opened under their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            assert os.open(os.devnull, os.O_RDWR) == number, "the lowest number that is free"
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


class _Unbroken:
    """A stream whose end nobody may read, or whose disk may be full: no result depends on what is written there."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def unbroken_streams() -> Iterator[None]:
    """What cannot be written to stderr is left out; what could not be written to stdout fails once, not again at exit."""
    with redirect_stderr(_Unbroken(sys.stderr)):
        try:
            yield
        finally:
            try:
                sys.stdout.flush()
            except (OSError, ValueError):
                with open(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), sys.stdout.fileno())
