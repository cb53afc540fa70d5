"""What a results store does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

from nas.records.beats import Beats
from nas.records.claim import Claim
from nas.records.heartbeat import Heartbeat
from nas.records.log import Log
from nas.records.row_kinds import RowKind


class Store(ABC):
    """Keeps rows and claims that processes share."""

    @abstractmethod
    def log(self, name: str, kind: RowKind | None = None) -> Log:
        """The log of this name, such as `evaluate.csv`, which need not be there yet."""

    @abstractmethod
    def claim(self, folder: Path) -> Claim:
        """The claim on the run whose state lies in this folder, which need not be there yet; not taken yet."""

    @abstractmethod
    def below(self, name: str) -> dict[str, Log]:
        """The logs of this name that are there, by what people may call them within the store."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all logs that are there, not those of folders within."""

    @abstractmethod
    def stamp(self) -> object:
        """What tells one state of the rows of `names` from another, without reading them."""

    @abstractmethod
    def check(self, runs: Path | None = None) -> None:
        """Raise UserError unless the store is there, or could be made. Tell what does not hold between hosts, where runs that are
        claimed lie in the folder `runs`."""

    @property
    @abstractmethod
    def beats(self) -> Beats:
        """Where the processes that use it tell what they are at."""

    @cached_property
    def heartbeat(self) -> Heartbeat:
        """What this process tells of itself there."""
        return Heartbeat(self.beats)

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where files that are no rows go, such as plots."""
