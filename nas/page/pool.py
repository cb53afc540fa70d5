"""Texts that stand in the data once, though thousands of points and cells have them: commands, and keys of lines."""

from __future__ import annotations

from typing import Any

LONG = 40  # characters from which on a cell goes into the pool


class Pool:
    """The texts, and each one's number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Of a text, which is in the pool from now on."""
        return self._numbers.setdefault(text, len(self._numbers))

    def cell(self, value: Any) -> Any:
        """A value as it is, but of a long text a list with its number."""
        return [self.number(value)] if isinstance(value, str) and len(value) >= LONG else value

    @property
    def texts(self) -> list[str]:
        """All of them by their numbers."""
        return list(self._numbers)
