"""The history of a run: a row of `history.csv` for each validation, written while it trains."""

from __future__ import annotations

import math
from collections.abc import Mapping

from methods.training.epoch import Epoch
from nas.records.event_files import EventFiles
from nas.records.log import Cell, Log

TOLD = ("method", "decoupling", "task", "seed")  # of the run, in each of its rows; all else stands in the run's own row


class History:
    """The rows of one training of the run with this key and name, in `log`.

    One row holds one epoch, with the numbers of stages and exits, of which there may be more or fewer, as lists: so the rows of
    an epoch are there together or not at all, and the error over epochs, which most people plot, is a column of its own.

    A training is one from its first iteration to its row, however often it is interrupted; one that began anew has another
    number. Each epoch of a training has one row, the first that was written. `events` are files that follow the rows.
    """

    def __init__(self, log: Log, key: Mapping[str, Cell], run: str, training: int, *, events: EventFiles | None = None) -> None:
        self.log, self.training, self.events = log, training, events
        self._facts: dict[str, Cell] = {"run": run, "training": training, **{name: key[name] for name in TOLD}}

    def record(self, epoch: Epoch) -> None:
        """Append the row of the epoch unless it is there, as after a run went on from a checkpoint before it."""
        row: dict[str, Cell] = {
            **self._facts,
            "iteration": epoch.iteration,
            "epoch": epoch.epoch,
            "validation_error": epoch.validation_error,
            "validation_loss": epoch.validation_loss,
            "stage_losses": _listed(epoch.stage_losses),
            "exit_errors": _listed(epoch.exit_errors),
            "scheduled_lr": epoch.scheduled_lr,
            "seconds": None if math.isnan(epoch.seconds) else epoch.seconds,
        }
        self.log.append_once(row, {name: row[name] for name in ("run", "training", "iteration")})
        self._follow(str(row["run"]))

    def copy_to(self, run: str) -> None:
        """Write the rows under the name of the run that came out as well, where that is another one."""
        if run != self._facts["run"]:
            rows = rows_of(self.log, str(self._facts["run"]), self.training)
            self.log.append_missing([{**row, "run": run} for row in rows])
            self._follow(run)

    def _follow(self, run: str) -> None:
        if self.events is not None:
            self.events.write(rows_of(self.log, run, self.training))


def rows_of(log: Log, run: str, training: int) -> list[dict[str, str]]:
    """The rows of a training of the run, oldest first."""
    return log.find_all({"run": run, "training": training})


def next_training(log: Log, run: str) -> int:
    """The number of a training of the run that begins now."""
    return max((int(row["training"]) for row in log.find_all({"run": run})), default=0) + 1


def _listed(numbers: tuple[float, ...]) -> str | None:
    return " ".join(map(repr, numbers)) or None
