"""What the files say of runs: which are done, which of their measurements are missing, and which have to be trained again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from nas.evaluation.measurements.measurement import Measurement
from nas.problem import Problem, Score
from nas.records.attempts import attempt_of, is_repeatable, standing
from nas.records.log import Cell, Log
from nas.records.partial import ITERATIONS_TRAINED, exactly, is_partial
from nas.records.reuse import told_undigested, undigested
from nas.records.status import OK
from nas.runs import trained_run
from nas.runs.trained_run import TrainedRun
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

Weights = Literal["discarded", "saved", "required"]  # of a run: gone after it, saved after it, or there in the end
TRAINED = ("weights_digest", "test_digest")  # tell rows with the same key apart: what came out, and what it was tested on


class RecordedRuns:
    """The runs of a problem, as the rows of `log` and the folders of runs tell of them; an `Evaluator` trains what is missing."""

    def __init__(
        self,
        problem: Problem,
        log: Log,
        *,
        test: bool,
        measurements: Sequence[Measurement] = (),
        weights: Weights = "discarded",
        retries: int = 0,
    ) -> None:
        assert test or not measurements, "measurements read the test split"
        self.problem, self.log, self.test = problem, log, test
        self.measurements, self.weights, self.retries = tuple(measurements), weights, retries
        self._refused: set[tuple[str, str]] = set()  # what was too much for the memory, by run and measurement

    def key(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, Cell]:
        """The cells that make two rows the same training."""
        return self.problem.key(self.problem.adapt(decoupling), fidelity)

    def run_folder(self, decoupling: Decoupling) -> Path:
        """Where this evaluation keeps its checkpoint while it is unfinished; at every fidelity."""
        return self.problem.run_folder(self.key(decoupling))

    def recorded(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, str] | None:
        """The row that is there already: tested on this test split, its weights saved if they are required; of several the
        first that has all measurements, or the first."""
        key = self.key(decoupling, fidelity)
        there = standing(self.log.find_all(exactly(key)))
        if is_partial(key):
            return there[0] if there else None
        first = there[0] if there else None
        if first is None or (self._lacks(first) is None and not self._unmeasured(key, first)):
            return first
        rows = [row for row in there if self._lacks(row) is None]
        return next(
            (row for row in rows if not self._unmeasured(key, row)),
            next((row for row in rows if self._has_weights(row)), rows[0] if rows else None),
        )

    def missing(self, decoupling: Decoupling) -> list[Measurement]:
        """The measurements that a run with a row has still to be asked for; all where there is no row. What was too much for
        the memory is not asked for again by this evaluator."""
        row = self.recorded(decoupling)
        if row is None:
            return list(self.measurements)
        return [one for one in self._unmeasured(self.key(decoupling), row) if (row["run"], one.name) not in self._refused]

    def is_done(self, decoupling: Decoupling, fidelity: float = 1.0) -> bool:
        """Whether its row and all that is asked of it are there."""
        row = self.recorded(decoupling, fidelity)
        return row is not None and not self._repeats(row) and (is_partial(row) or not self.missing(decoupling))

    def is_to_be_repeated(self, decoupling: Decoupling) -> bool:
        """Whether the run failed in a way that another attempt might not, and may have one."""
        row = self.recorded(decoupling)
        return row is not None and self._repeats(row)

    def measured(self, measurement: Measurement, decoupling: Decoupling) -> list[list[dict[str, str]]]:
        """What is recorded of it by the measurement, for each of its files; nothing of a run that diverged."""
        row = self.recorded(decoupling)
        return measurement.recorded(own_key(self.key(decoupling), row)) if row else [[] for _ in measurement.rows]

    def only_measures(self, decoupling: Decoupling) -> bool:
        """Whether what is missing is found out without training, with saved weights."""
        return not self.is_done(decoupling) and self._with_weights(decoupling) is not None

    def why_again(self, decoupling: Decoupling) -> str | None:
        """Why a run that has a row is trained again; None where it has none, or need not be."""
        first = self.log.find(exactly(self.key(decoupling)))
        if first is None or self.is_done(decoupling) or self._with_weights(decoupling):
            return None
        if self.is_to_be_repeated(decoupling):
            return f"they failed, and may be tried {self.retries + 1} times"
        if lacks := self._lacks(first):
            return lacks
        return f"no weights are saved to measure {' and '.join(one.name for one in self.missing(decoupling))} with"

    def has_undigested(self, decoupling: Decoupling) -> bool:
        """Whether an older version left a row that cannot be reused."""
        return bool(undigested(self.log, self.key(decoupling)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Of rows that an older version left, of whatever decoupling."""
        key = {name: cell for name, cell in self.key(Decoupling((), ())).items() if name != "decoupling"}
        return told_undigested(len(undigested(self.log, key)))

    def _known_bound(self, key: Mapping[str, Cell]) -> float | None:
        """What a partial training of the same run has measured; the time that takes again would be most of a short one."""
        alike = self.log.find_all({name: cell for name, cell in key.items() if name != ITERATIONS_TRAINED})
        bounds = [row.get("pipeline_speedup_bound") for row in alike if is_partial(row)]
        return next((float(bound) for bound in bounds if bound), None)

    def _repeats(self, row: Mapping[str, str]) -> bool:
        return is_repeatable(row) and attempt_of(row) <= self.retries

    def _lacks(self, row: Mapping[str, str]) -> str | None:
        """What a row that is there has not of what every row has to have; None if nothing."""
        if row["status"] != OK:
            return None
        if self.test and row.get("test_digest") != self.problem.data.test_digest:
            return "the test split is another"
        return "its weights are not saved" if self.weights == "required" and not self._has_weights(row) else None

    def _unmeasured(self, key: Mapping[str, Cell], row: Mapping[str, str]) -> list[Measurement]:
        own = own_key(key, row)
        return [one for one in self.measurements if row["status"] == OK and not one.is_complete(own)]

    def _has_weights(self, row: Mapping[str, str]) -> bool:
        return bool(row.get("run")) and saved_digest(self.problem.runs / row["run"]) == row.get("weights_digest")

    def _with_weights(self, decoupling: Decoupling) -> dict[str, str] | None:
        """The row to measure: the recorded one, or one that was tested on another split, if its weights are saved."""
        recorded = self.recorded(decoupling)
        rows = [recorded] if recorded else self.log.find_all(exactly(self.key(decoupling)))
        return next((row for row in rows if row["status"] == OK and self._has_weights(row)), None)


def own_key(key: Mapping[str, Cell], row: Mapping[str, Cell]) -> dict[str, Cell]:
    """The key of one of several rows with the same key."""
    told = (*TRAINED, "attempts") if is_repeatable({"status": str(row.get("status"))}) else TRAINED
    return {**key, **{name: row.get(name) for name in told}}


def saved_digest(folder: Path) -> str | None:
    """Of the weights that are saved in a run's folder; None where there are none that can be read."""
    try:
        status = (folder / trained_run.FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _saved_digest(folder, status.st_mtime_ns, status.st_size)


@cache
def _saved_digest(folder: Path, *stamp: int) -> str | None:
    try:
        return TrainedRun.load(folder).digest
    except UserError:
        return None


def read_score(row: Mapping[str, str]) -> Score:
    """The score that a row holds; of a run without the memory for a step the bound on speed-up is 1, which is none."""
    return Score(
        error=float(row["validation_error"]),
        loss=float(row["validation_loss"] or math.nan),
        peak_activation_bytes=int(row["peak_activation_bytes"]),
        pipeline_speedup_bound=float(row["pipeline_speedup_bound"] or 1.0),
        status=row["status"],
    )
