"""Which learning rate, schedule and weight decay each method is trained with: what validates best of those that are tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from methods.training.settings import TrainingSettings
from nas.records.columns import COLUMNS
from nas.records.status import OK


@dataclass(frozen=True)
class Tuning:
    """Every rate with every schedule and every weight decay, in this order, each once: alike for all methods.

    A try has the settings of the runs, but for `iterations`, where it is to be shorter; its schedule then runs over these.
    """

    settings: tuple[TrainingSettings, ...]
    iterations: int | None = None

    @classmethod
    def of(
        cls,
        settings: TrainingSettings,
        rates: Sequence[float],
        schedules: Sequence[str],
        weight_decays: Sequence[float],
        iterations: int | None = None,
    ) -> Tuning:
        """What differs from `settings` in these three alone."""
        grid = [
            replace(settings, lr=lr, schedule=schedule, weight_decay=decay)
            for lr in rates
            for schedule in schedules
            for decay in weight_decays
        ]
        return cls(tuple(dict.fromkeys(grid)), iterations)

    @property
    def tries(self) -> tuple[TrainingSettings, ...]:
        """What each try trains with; none where there is nothing to choose."""
        if len(self.settings) == 1:
            return ()
        return tuple(replace(one, iterations=self.iterations or one.iterations) for one in self.settings)


@dataclass(frozen=True)
class Choice:
    """What was chosen for a method.

    settings          of its runs
    tries             how many there were, of so many `iterations`; `failed` of them diverged, or had not the memory
    validation_error  of the best try, a share in 0..1; None where all failed: then the first settings are taken
    """

    method: str
    settings: TrainingSettings
    tries: int
    iterations: int
    failed: int
    validation_error: float | None

    def __str__(self) -> str:
        taken = f"lr {self.settings.lr:g}, {self.settings.schedule}, weight decay {self.settings.weight_decay:g}"
        if self.validation_error is None:
            return f"{self.method}: all {self.tries} tries of {self.iterations} iterations failed; the first is taken, {taken}"
        failed = f", {self.failed} of which failed" if self.failed else ""
        error = COLUMNS["validation_error"].show(self.validation_error)
        return f"{self.method}: {taken} (validation error {error} %, best of {self.tries} tries{failed})"


def chosen(method: str, tuning: Tuning, rows: Sequence[Mapping[str, str]]) -> Choice:
    """Of the rows of all tries, in their order, the one with the lowest validation error; of equal ones that with the lower
    validation loss, and of equals in both the one that was given first. A try that failed is never better than one that did
    not."""
    failed = [row["status"] != OK for row in rows]

    def rank(place: int) -> tuple[bool, float, float]:
        row = rows[place]
        return failed[place], float(row["validation_error"]), float(row["validation_loss"] or math.inf)

    best = min(range(len(rows)), key=rank)
    error = None if failed[best] else float(rows[best]["validation_error"])
    return Choice(method, tuning.settings[best], len(rows), tuning.tries[best].iterations, sum(failed), error)
