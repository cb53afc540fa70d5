"""Whether data that is not there may be downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from spaces.notation.errors import UserError

_allowed: ContextVar[bool] = ContextVar("_allowed", default=True)


@contextmanager
def no_downloads() -> Iterator[None]:
    """Inside, data has to be there."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


def check_download(what: str) -> None:
    """Raise UserError where nothing may be downloaded."""
    if not _allowed.get():
        raise UserError(
            f"--dry-run downloads nothing, got data that is not there yet: {what}; get it first, or leave --dry-run out"
        )
