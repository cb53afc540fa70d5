"""What a terminal is sent: text, and no control sequences that names in files may hold."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

# All controls but line breaks and tabs, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROLS_OF_BARS = re.compile(rf"(?!\A\r){_CONTROLS.pattern}")  # a library's bar, as of a download, begins anew so


def without_controls(text: str, controls: re.Pattern[str] = _CONTROLS) -> str:
    """The text with its control characters written as escapes, such as \\x1b."""
    return controls.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Plain:
    """A stream whose text has no control characters."""

    def __init__(self, stream: TextIO, controls: re.Pattern[str]) -> None:
        self.unfiltered, self._controls = stream, controls

    def write(self, text: str) -> int:
        return self.unfiltered.write(without_controls(text, self._controls))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Inside, both standard streams are plain."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(_Plain(sys.stdout, _CONTROLS)))
        stack.enter_context(redirect_stderr(_Plain(sys.stderr, _CONTROLS_OF_BARS)))
        yield


def unfiltered(stream: Any) -> TextIO:
    """The stream behind a plain one, for controls of our own."""
    return getattr(stream, "unfiltered", stream)


def is_terminal(stream: Any) -> bool:
    """Whether someone looks at it, and it does what controls say: no file, no pipe, and not TERM=dumb."""
    return bool(stream.isatty()) and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def is_coloured(stream: Any) -> bool:
    """Whether text there may be coloured: by NO_COLOR, then FORCE_COLOR (each where it is not empty), then whether it is a
    terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal(stream)


def columns_of(stream: Any) -> int | None:
    """How many columns a terminal has; None where the stream is none, whose text is to be the same wherever it goes."""
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None
