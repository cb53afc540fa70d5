"""What a person should know while a command runs on. `run.py` shows it, a line each, on stderr; a library keeps quiet."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOGGER = logging.getLogger("nas")
_LOGGER.addHandler(logging.NullHandler())


def notice(text: str) -> None:
    """Tell people one line, through the logger `nas`."""
    _LOGGER.warning("%s", text)


def detail(text: str) -> None:
    """Tell one line to those who want to know more, such as what is skipped, and how long things take."""
    _LOGGER.info("%s", text)


@contextmanager
def shown_notices(*, notices: bool = True, details: bool = False) -> Iterator[None]:
    """While this is open, notices are shown on stderr, a line each, and details where they are asked for; without `notices`
    nothing is."""
    before = _LOGGER.level
    _LOGGER.setLevel(logging.INFO if details else logging.WARNING if notices else logging.CRITICAL)
    try:
        with _handled(_OnStderr()):
            yield
    finally:
        _LOGGER.setLevel(before)


@contextmanager
def heard_notices(hear: Callable[[str], None]) -> Iterator[None]:
    """While this is open, `hear` is told each notice."""
    handler = logging.Handler()
    handler.emit = lambda record: hear(record.getMessage())  # type: ignore[method-assign]
    with _handled(handler):
        yield


class _OnStderr(logging.Handler):
    """Writes to what stderr is by then, where progress bars may have taken its place."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.getMessage()}\n")
        sys.stderr.flush()


@contextmanager
def _handled(handler: logging.Handler) -> Iterator[None]:
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
