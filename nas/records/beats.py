"""Where the processes that share a store tell what they are at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Beat:
    """What one process told last, `seconds_ago`, and whether it lives. `name` is the process's, and no other has had it."""

    name: str
    text: str
    seconds_ago: float
    is_alive: bool


class Beats(ABC):
    """One text a process, which replaces the one before and is gone with `remove`. That of a process that was killed stays and
    is told from those of living ones at once, where they share a host, and within a minute elsewhere.

    Whatever cannot be written raises OSError or UserError.
    """

    @abstractmethod
    def write(self, name: str, text: str) -> None:
        """Tell this."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Tell nothing any more; also of another process that is dead."""

    @abstractmethod
    def read(self) -> list[Beat]:
        """What is told now, by name. Nothing is made or changed."""
