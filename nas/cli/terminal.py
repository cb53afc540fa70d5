"""What a terminal is sent: text, and no control sequences that names in files may hold."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

# All controls but line breaks and tabs, and what turns the direction of writing.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROLS_OF_BARS = re.compile(rf"(?!\A\r){_CONTROLS.pattern}")  # a carriage return begins a bar anew


class _Plain:
    """A stream whose text has no control characters: they are written as escapes, such as \\x1b."""

    def __init__(self, stream: TextIO, controls: re.Pattern[str]) -> None:
        self._stream, self._controls = stream, controls

    def write(self, text: str) -> int:
        return self._stream.write(self._controls.sub(lambda found: found[0].encode("unicode_escape").decode(), text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def plain_output() -> Iterator[None]:
    """Inside, both standard streams are plain."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(_Plain(sys.stdout, _CONTROLS)))
        stack.enter_context(redirect_stderr(_Plain(sys.stderr, _CONTROLS_OF_BARS)))
        yield
