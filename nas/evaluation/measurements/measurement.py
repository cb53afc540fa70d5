"""A measurement: rows that are found out of a trained run, written once, and the same whenever they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from methods.method import Method
from nas.data.task_data import Part
from nas.notice import notice
from nas.problem import Problem
from nas.records.log import Cell, Log
from spaces.decoupling import Decoupling

EVAL_BATCH_SIZE = 512
Row = dict[str, Cell]


@dataclass(frozen=True, eq=False)
class MeasuredRun:
    """A trained run: `method` has its weights, in evaluation mode, on the problem's device; `decoupling` is what it trained;
    `test` is the test split."""

    problem: Problem
    decoupling: Decoupling
    method: Method
    test: Part


@dataclass(frozen=True)
class Rows:
    """Where rows of a measurement go. `place` are the columns that tell its rows of one run apart; none where there is one."""

    log: Log
    place: tuple[str, ...] = ()

    def of(self, key: Mapping[str, Cell]) -> list[dict[str, str]]:
        """The rows with these cells, the first of each place."""
        first: dict[tuple[str, ...], dict[str, str]] = {}
        for row in self.log.find_all(key):
            first.setdefault(self.placed(row), row)
        return list(first.values())

    def placed(self, row: Mapping[str, object]) -> tuple[str, ...]:
        """The row's place, as it is written."""
        return tuple(str(row.get(column, "")) for column in self.place)


class Measurement(ABC):
    """What a run is asked for after its training. A subclass says what it finds out (`measure`) and where that is written.

    Its rows hold the run's key (every setting, the digest of the weights, that of the test split), the measurement's own
    `settings`, what was found, and where and when. None of it is part of the run's identity, so that all measurements of a
    run share one training.
    """

    name: str  # what people call it, in the plural

    @property
    @abstractmethod
    def settings(self) -> Row:
        """The cells that tell its rows from those of the same measurement with other settings."""

    @property
    @abstractmethod
    def rows(self) -> tuple[Rows, ...]:
        """Where it writes."""

    @abstractmethod
    def check(self, method: str, num_blocks: int) -> None:
        """Raise UserError where runs of the method, with at most so many blocks, cannot be asked for it."""

    @abstractmethod
    def measure(self, run: MeasuredRun) -> Sequence[Sequence[Row]]:
        """For each of `rows` what is found of the run, in order: cells that are no part of its key."""

    @abstractmethod
    def is_complete(self, key: Mapping[str, Cell]) -> bool:
        """Whether all rows of the run with this key are there."""

    def recorded(self, key: Mapping[str, Cell]) -> list[list[dict[str, str]]]:
        """For each of `rows` what is there of the run with this key."""
        return [rows.of({**key, **self.settings}) for rows in self.rows]

    def record(self, key: Mapping[str, Cell], source: Mapping[str, Cell], run: MeasuredRun) -> None:
        """Measure the run and write what is not there yet, `key` and `source` in each row."""
        there = self.recorded(key)
        for rows, own, found in zip(self.rows, there, self.measure(run), strict=True):
            known, wanted = {rows.placed(row) for row in own}, [rows.placed(row) for row in found]
            if not known <= set(wanted):
                notice(
                    f"{rows.log.where} holds rows of {self.name} that came out otherwise now, so that what is missing beside "
                    f"them cannot be added; delete those of {key['method']} on '{key['decoupling']}' with seed {key['seed']}"
                )
                continue
            if missing := [row for row, place in zip(found, wanted, strict=True) if place not in known]:
                rows.log.append_all([{**key, **self.settings, **row, **source} for row in missing])
