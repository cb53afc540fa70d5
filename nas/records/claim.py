"""A claim on a run: of the processes that share a store, one has it, and a dead one's claim is free at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Claim(ABC):
    """`with results.claim(folder):` waits until no other process has the run, and says for whom; `try_take()` does not wait.

    Two claims on one run exclude each other within a process too.
    """

    @abstractmethod
    def try_take(self) -> bool:
        """Whether the run is ours now."""

    @abstractmethod
    def take(self) -> None:
        """Wait until the run is ours, and tell for whom."""

    @abstractmethod
    def release(self) -> None:
        """Give the run up; nothing where it is not ours."""

    @abstractmethod
    def is_left(self) -> bool:
        """Whether something lies beside the run's folder: of a holder, or of one that was killed."""

    @abstractmethod
    def holder(self) -> str | None:
        """Who has the run now, as a text; None where nobody has. Nothing is made or changed."""

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
