"""An evaluator that answers from a table of decouplings that were trained before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from methods.table import traits
from nas.evaluation.evaluator import read_score
from nas.problem import Problem, Score
from nas.records.attempts import standing_rows
from nas.records.log import Log
from nas.records.results import log_at
from nas.records.row_kinds import RUNS
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
    """

    def __init__(self, problem: Problem, path: str | Path, *, seeds: Seeds = "one") -> None:
        self.problem = problem
        self.log = log_at(path, RUNS)
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
            answers = {point: _averaged(list(trained.values())) for point, trained in points.items()}
        else:
            known = sorted({seed for trained in points.values() for seed in trained})
            seed = known[problem.seed % len(known)]
            answers = {point: trained[seed] for point, trained in points.items() if seed in trained}
        self.answers = {point: _without_test(row) for point, row in answers.items()}

    def recorded(self, decoupling: Decoupling, fidelity: float = 1.0) -> Row | None:
        """The row that the score is read from, without what the test split said; None if the table lacks it."""
        if fidelity < 1:
            raise UserError(f"the table {self.log.where} has whole trainings, got fidelity {fidelity:g}; give 1")
        return self.answers.get(str(self.adapt(decoupling)))

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
        raise UserError(
            f"the table {log.where} was made with {_written(rows[nearest], differing[nearest])}, got "
            f"{_written(wanted, differing[nearest])}; give the table's settings"
        )
    return [row for row, names in zip(rows, differing, strict=True) if not names]


def _written(settings: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={settings.get(name, '')}" for name in names)


def _averaged(rows: Sequence[Row]) -> Row:
    """The first row with the means over all; one run that diverged makes the status and leaves no mean loss."""
    means = {name: repr(fmean(float(row[name] or math.nan) for row in rows)) for name in ("validation_error", "validation_loss")}
    status = next((row["status"] for row in rows if row["status"] != "ok"), "ok")
    return {**rows[0], **means, "seed": "mean", "status": status}


def _without_test(row: Row) -> Row:
    """The row without what was found out on the test split, which no search may see."""
    return {name: cell for name, cell in row.items() if "test_" not in name}
