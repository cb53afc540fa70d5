"""Progress in a terminal: a few lines at its bottom, which rich colours as far as the terminal can."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from nas.cli.progress.layout import layout
from nas.cli.progress.screen import Above, Screen
from nas.cli.progress.tracker import End, Tracker
from nas.cli.terminal import is_coloured


class Bars:
    """What a tracker knows, drawn on a terminal's stream."""

    def __init__(self, tracker: Tracker, stream: TextIO) -> None:
        self._tracker, self._screen = tracker, Screen(stream)
        self._streams: list[Above] = []
        self._ascii_only = not (getattr(stream, "encoding", None) or "").lower().startswith("utf")
        self._console = Console(
            file=io.StringIO(), force_terminal=True, no_color=not is_coloured(stream), legacy_windows=False, highlight=False
        )

    def above(self, stream: TextIO, filtered: Callable[[str], str]) -> Above:
        """A stream of the same terminal, whose lines come above the bars."""
        self._streams.append(Above(self._screen, stream, filtered))
        return self._streams[-1]

    def told(self) -> None:
        """Draw anew."""
        columns, lines = self._screen.size
        self._console.width = columns  # a line that fills a window's last column would wrap
        shown = layout(self._tracker, columns - 1, max(1, lines - 1), ascii_only=self._ascii_only)
        self._screen.draw([(self._coloured(line), line.cell_len) for line in shown])

    def ended(self, end: End) -> None:
        """A run has ended, which the lines say when they are drawn."""

    def close(self) -> None:
        """Leave nothing behind."""
        for stream in self._streams:
            stream.end()
        self._screen.clear()

    def _coloured(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", no_wrap=True, crop=False, soft_wrap=True)
        return captured.get()
