"""Lines at the bottom of a terminal, which are drawn anew in place, with what is printed meanwhile above them."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from math import ceil
from typing import Any, TextIO

_CLEAR_LINE, _CLEAR_BELOW = "\x1b[K", "\x1b[J"


class Screen:
    """What is drawn on a terminal's `stream`. Each drawing is one write, so that a signal leaves no half of one. Where the
    terminal was made narrower, what was drawn has become more lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.RLock()
        self._drawn: list[int] = []  # the cells of each line that is there

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return 80, 24
        return columns or 80, lines or 24

    def draw(self, lines: Sequence[tuple[str, int]]) -> None:
        """Put these lines, each with its number of cells, in place of what is there."""
        with self._lock:
            shown = "\r\n".join(text + _CLEAR_LINE for text, _ in lines)
            self._write(self._home() + shown + _CLEAR_BELOW)
            self._drawn = [cells for _, cells in lines]

    def clear(self) -> None:
        """Remove what is there."""
        with self._lock:
            if self._drawn:
                home, self._drawn = self._home(), []
                self._write(home + _CLEAR_BELOW)

    def above(self, text: str) -> None:
        """Print whole lines where the drawing was; the next one comes below."""
        with self._lock:
            self.clear()
            self._write(text)

    def _home(self) -> str:
        """To where the drawing begins."""
        columns = self.size[0]
        rows = sum(max(1, ceil(cells / columns)) for cells in self._drawn)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Above:
    """A stream whose text comes above what a screen has, by whole lines."""

    def __init__(self, screen: Screen, stream: TextIO, filtered: Any) -> None:
        self._screen, self._stream, self._filtered = screen, stream, filtered
        self._begun = ""

    def write(self, text: str) -> int:
        """Lines as they become whole."""
        *whole, self._begun = (self._begun + text).split("\n")
        if whole:
            self._screen.above("".join(f"{self._filtered(line)}\r\n" for line in whole))
        return len(text)

    def flush(self) -> None:
        """Nothing: a line that has only begun would lie in the drawing."""

    def end(self) -> None:
        """Print what has begun."""
        if self._begun:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
