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


@contextmanager
def shown_notices() -> Iterator[None]:
    """While this is open, notices are shown on stderr, a line each."""
    with _handled(logging.StreamHandler(sys.stderr)):
        yield


@contextmanager
def heard_notices(hear: Callable[[str], None]) -> Iterator[None]:
    """While this is open, `hear` is told each notice."""
    handler = logging.Handler()
    handler.emit = lambda record: hear(record.getMessage())  # type: ignore[method-assign]
    with _handled(handler):
        yield


@contextmanager
def _handled(handler: logging.Handler) -> Iterator[None]:
    _LOGGER.addHandler(handler)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
