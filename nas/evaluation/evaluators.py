"""The evaluators by name: where a search gets the score of a decoupling from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from nas.evaluation.evaluator import Evaluator
from nas.evaluation.tabular import Seeds, Tabular
from nas.problem import Score
from nas.records.log import Log
from nas.records.stores.url import redacted
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.notation.table import Table


@runtime_checkable
class SearchEvaluator(Protocol):
    """Scores decouplings, and shows the row of `log` behind each score."""

    log: Log

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the rows before the search, a line each."""

    def __call__(self, decoupling: Decoupling, fidelity: float = 1.0) -> Score: ...

    def recorded(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, str] | None: ...


def train(training: Evaluator) -> Evaluator:
    """Trains each decoupling and appends its row, or reads the row that is there."""
    return training


def tabular(training: Evaluator, *, path: str, seeds: Seeds = "one") -> Tabular:
    """Looks each decoupling up in a CSV of trained ones, with its score of one seed or the mean over its seeds.

    path   the CSV file that evaluate wrote, or the URL of a results store
    seeds  one: the score of the search's seed; mean: the mean over all that are there
    """
    if path != redacted(path):  # rows name the evaluator
        raise UserError(
            f"the path of a table has no password, since rows hold it, got {redacted(path)} with one; give it in PGPASSWORD or "
            "~/.pgpass"
        )
    return Tabular(training.problem, path, seeds=seeds)


EVALUATORS: Table[SearchEvaluator] = Table("evaluator", {"train": train, "tabular": tabular}, makes=SearchEvaluator)
