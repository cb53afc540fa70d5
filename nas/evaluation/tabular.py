"""An evaluator that answers from a table of decouplings that were trained before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from methods.table import traits
from nas.evaluation.recorded_runs import read_score
from nas.problem import Problem, Score
from nas.records.attempts import standing_rows
from nas.records.log import Log
from nas.records.partial import ITERATIONS_TRAINED
from nas.records.results import log_at, log_beside
from nas.records.row_kinds import HISTORY, RUNS
from nas.records.status import OK
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

Seeds = Literal["one", "mean"]
Row = dict[str, str]


class Tabular:
    """`tabular(decoupling)` looks the score up in the log at `path`, a CSV file or a URL, which is read once; nothing is trained
    or written.

    The table is an evaluate.csv with a row for each decoupling and seed, as benchmarks/ground_truth.py makes it. Its
    rows count where they agree with the problem in all but the seed, the share of validation images included: another
    share is another score. Rows of before there were digests of the data count too, and `notes` says so. With
    seeds="one" a search sees the trainings of one of the table's seeds, the one at the search's seed modulo their
    number, and so a score as noisy as in real life; with "mean" error and loss are means over the seeds of a
    decoupling. A file without rows that agree is a UserError, as is asking for a decoupling that the table lacks.

    A partial training is read from the `history.csv` beside the table: the lowest validation error of the epochs up to there, as
    one that stops has it. Where none is there, a UserError. One that diverged counts as such from the beginning.
    """

    def __init__(self, problem: Problem, path: str | Path, *, seeds: Seeds = "one") -> None:
        self.problem = problem
        self.log, self.seeds = log_at(path, RUNS), seeds
        self.history = log_beside(path, "history.csv", HISTORY)
        self.adapt = traits(problem.method).adapt  # reading the method's settings each time would take most of an answer
        self.rows = _agreeing(self.log, problem)
        undigested = sum(not row.get("data_digest") for row in self.rows)
        self.notes = (
            ()
            if not undigested
            else (
                f"{undigested} rows of {self.log.where} are of an older version without a digest of their data; only their task "
                "that the data is this one",
            )
        )
        points: dict[str, dict[int, Row]] = {}
        for row in self.rows:
            points.setdefault(row["decoupling"], {}).setdefault(int(row["seed"]), row)
        if seeds == "mean":
            self.trained = {point: list(trained.values()) for point, trained in points.items()}
            answers = {point: _averaged(rows) for point, rows in self.trained.items()}
        else:
            known = sorted({seed for trained in points.values() for seed in trained})
            seed = known[problem.seed % len(known)]
            self.trained = {point: [trained[seed]] for point, trained in points.items() if seed in trained}
            answers = {point: rows[0] for point, rows in self.trained.items()}
        self.answers = {point: _without_test(row) for point, row in answers.items()}

    def recorded(self, decoupling: Decoupling, fidelity: float = 1.0) -> Row | None:
        """The row that the score is read from, without what the test split said; None if the table lacks it."""
        point = str(self.adapt(decoupling))
        if self.problem.iterations_at(fidelity) == self.problem.settings.iterations or point not in self.answers:
            return self.answers.get(point)
        rows = [self._partial(row, fidelity) for row in self.trained[point]]
        return _without_test(rows[0] if self.seeds == "one" else _averaged(rows))

    def _partial(self, row: Row, fidelity: float) -> Row:
        """The row of a training up to this fidelity: with the lowest validation error until then, as one that stopped has it."""
        iterations = self.problem.iterations_at(fidelity)
        if row["status"] != OK:  # when it failed nobody knows
            return {**row, ITERATIONS_TRAINED: str(iterations)}
        told = [epoch for epoch in self._epochs(row) if int(epoch["iteration"]) <= iterations]
        if not told:
            raise UserError(
                f"a partial training is read from epochs in {self.history.where}, but of '{row['decoupling']}' it has none up to "
                f"iteration {iterations}; give a larger fidelity, or a table with its history beside it"
            )
        begun = max(len(epoch["stage_losses"].split()) for epoch in told)  # with `grow` the best since the last stage began
        lowest = min(
            (epoch for epoch in told if len(epoch["stage_losses"].split()) == begun),
            key=lambda epoch: float(epoch["validation_error"]),
        )
        found = {name: lowest[name] for name in ("validation_error", "validation_loss")}
        return {**row, **found, "best_iteration": lowest["iteration"], ITERATIONS_TRAINED: str(iterations)}

    def _epochs(self, row: Row) -> list[Row]:
        """Those of the training that the row is of."""
        return self.history.find_all({"run": row["run"], "training": row.get("training") or 1})

    def __call__(self, decoupling: Decoupling, fidelity: float = 1.0) -> Score:
        """The score that the table has of the decoupling."""
        row = self.recorded(decoupling, fidelity)
        if row is None:
            raise UserError(
                f"the table {self.log.where} has {len(self.answers)} points, but '{decoupling}' is none of them; "
                f"search a space within the table's, or finish the table if it is not done"
            )
        return read_score(row)


def _agreeing(log: Log, problem: Problem) -> list[Row]:
    """The rows that were made with the problem's settings."""
    rows = standing_rows(log.rows())
    if not rows:
        raise UserError(
            f"a table has a row for each trained decoupling, but {log.where} has none; benchmarks/ground_truth.py makes one"
        )
    key = problem.key(Decoupling((), ()))
    wanted = {name: "" if value is None else str(value) for name, value in key.items() if name not in ("decoupling", "seed")}
    differing = [
        [name for name in wanted if row.get(name, "") != wanted[name] and (name != "data_digest" or row.get(name))]
        for row in rows
    ]
    nearest = min(range(len(rows)), key=lambda i: len(differing[i]))
    if differing[nearest]:
        alike = [row for row, names in zip(rows, differing, strict=True) if names == differing[nearest]]
        raise UserError(
            f"the table {log.where} was made with {_written(alike, differing[nearest])}, got "
            f"{_written([wanted], differing[nearest])}; give the table's settings"
        )
    return [row for row, names in zip(rows, differing, strict=True) if not names]


def _written(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> str:
    """These settings, each with all the values that the rows have."""
    return ", ".join(f"{name}={' or '.join(dict.fromkeys(row.get(name, '') for row in rows))}" for name in names)


def _averaged(rows: Sequence[Row]) -> Row:
    """The first row with the means over all; one run that diverged makes the status and leaves no mean loss."""
    means = {name: repr(fmean(float(row[name] or math.nan) for row in rows)) for name in ("validation_error", "validation_loss")}
    status = next((row["status"] for row in rows if row["status"] != "ok"), "ok")
    return {**rows[0], **means, "seed": "mean", "status": status}


def _without_test(row: Row) -> Row:
    """The row without what was found out on the test split, which no search may see."""
    return {name: cell for name, cell in row.items() if "test_" not in name}
