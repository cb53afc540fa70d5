"""The test error of several heads together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from methods.method import Method
from methods.table import traits
from methods.training.batches import Batch
from methods.training.scoring import autocast
from methods.training.settings import Precision
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE, MeasuredRun, Measurement, Row, Rows
from nas.records.log import Cell, Log
from nas.records.results import Results
from nas.records.row_kinds import ENSEMBLES
from spaces.notation.errors import UserError

COLUMN = "ensemble_test_error"


@dataclass(frozen=True)
class Ensemble(Measurement):
    """The test error of the sum of the last `size` heads' log-probabilities (SEDONA's auxiliary-head ensemble), a row a run.

    Older versions wrote it into the run's own row, in `runs`, where it counts as well.
    """

    log: Log
    runs: Log
    size: int
    name = "ensembles"

    @classmethod
    def of(cls, results: Results, runs: Log, size: int) -> Ensemble:
        """Written to `ensembles.csv`; a size below 1 is a UserError."""
        if size < 1:
            raise UserError(f"an ensemble sums the last M heads, M from 1 on, got {size}; give --ensemble 2 or more")
        return cls(results.log("ensembles.csv", ENSEMBLES), runs, size)

    @property
    def settings(self) -> Row:
        return {"ensemble": self.size}

    @property
    def rows(self) -> tuple[Rows, ...]:
        return (Rows(self.log),)

    def check(self, method: str, num_blocks: int) -> None:
        if self.size > num_blocks:
            raise UserError(
                f"an ensemble sums the last heads of a network, got {self.size}, but no run has more than {num_blocks}"
            )
        if not traits(method).has_exit_logits:
            raise UserError(
                f"an ensemble needs the logits of heads, but those of {method} give none; leave --ensemble, or the method, out"
            )

    def measure(self, run: MeasuredRun) -> Sequence[Sequence[Row]]:
        problem = run.problem
        batches = problem.data.eval_batches(run.test, EVAL_BATCH_SIZE)
        error = ensemble_error(run.method, batches, self.size, problem.settings.precision)
        return [[{"num_blocks": run.method.net.num_blocks, COLUMN: error}]]

    def is_complete(self, key: Mapping[str, Cell]) -> bool:
        return bool(self.recorded(key)[0])

    def recorded(self, key: Mapping[str, Cell]) -> list[list[dict[str, str]]]:
        if own := super().recorded(key)[0]:
            return [own]
        return [[row for row in replace(self.rows[0], log=self.runs).of({**key, **self.settings}) if row.get(COLUMN)]]


@torch.no_grad()
def ensemble_error(method: Method, batches: Iterator[Batch], num_exits: int, precision: Precision) -> float:
    """The share of wrong answers of the summed log-probabilities of the last `num_exits` exits; of all where there are fewer.

    Logits are summed instead: they differ from log-probabilities by the same number for every class.
    """
    method.eval()
    wrong = count = 0
    for x, y in batches:
        with autocast(x.device, precision):
            exits = list(method.exits(x))[-num_exits:]
        votes = torch.stack([logits.float() for logits in exits]).sum(0)
        wrong, count = wrong + int((votes.argmax(1) != y).sum()), count + len(y)
    return wrong / count
