"""What a table of trained decouplings says is true, and how far a search is from it.

A decoupling's true error is the mean of its test errors over the seeds of the table. It is itself measured: the smallest
of many means lies too low, so even the best decoupling has some regret, and a search that sees one of the seeds has seen a
part of what it is judged by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from spaces.notation.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def errors(rows: Iterable[Mapping[str, str]], column: str = "test_error") -> pd.DataFrame:
    """Errors as shares: a line for each decoupling (as text), a column for each seed. Runs that diverged count as 1.

    Of rows with the same decoupling and seed the first counts; a decoupling without a row for each seed is a UserError.
    """
    import pandas as pd

    frame = pd.DataFrame(list(rows)).drop_duplicates(["decoupling", "seed"])
    frame[column] = pd.to_numeric(frame[column]).fillna(1.0)
    table = frame.astype({"seed": int}).pivot(index="decoupling", columns="seed", values=column)
    lacking = table.index[table.isna().any(axis=1)]
    if len(lacking):
        raise UserError(
            f"the truth needs every decoupling with every seed, but {len(lacking)} of {len(table)} lack one, such as "
            f"'{lacking[0]}'; finish the table first"
        )
    return table


def true_errors(test_errors: pd.DataFrame) -> pd.Series:
    """Each decoupling's mean test error over the seeds."""
    return test_errors.mean(axis=1)


def regrets(test_errors: pd.DataFrame) -> pd.Series:
    """Each decoupling's true error less the smallest, in 0..1; indexed by the decoupling's text."""
    truth = true_errors(test_errors)
    return truth - truth.min()


@dataclass(frozen=True)
class NoiseFloor:
    """`std`: standard deviation over the seeds, mean over the decouplings, a share. `rank_correlation`: Spearman's rho
    between two seeds, mean over the pairs: how well one training of each decoupling ranks them."""

    std: float
    rank_correlation: float


def noise_floor(test_errors: pd.DataFrame) -> NoiseFloor:
    """How much the seed alone changes; needs two seeds.

    With a rank correlation r between n seeds, a scoring without any noise correlates with their means by about
    sqrt(n r / (1 + (n - 1) r)) (Spearman and Brown), and none by more.
    """
    num_seeds = test_errors.shape[1]
    if num_seeds < 2:
        raise UserError(f"the noise between seeds takes a table of at least 2 seeds, but it has {num_seeds}; train more")
    correlations = test_errors.corr("spearman").to_numpy()[np.triu_indices(num_seeds, 1)]
    return NoiseFloor(float(test_errors.std(axis=1).mean()), float(correlations.mean()))


def rank_correlation(scores: Mapping[str, float], test_errors: pd.DataFrame) -> float:
    """Spearman's rho between scores (lower is better) and true errors, over the decouplings of the table.

    A decoupling of the table without a score is a KeyError.
    """
    from scipy.stats import spearmanr

    truth = true_errors(test_errors)
    return float(spearmanr([scores[point] for point in truth.index], truth).statistic)


def incumbents(scores: Mapping[str, float]) -> list[str]:
    """After each of the trainings, in the order of `scores`, the decoupling of the lowest score; the earlier of equals."""

    def better(best: str, point: str) -> str:
        return point if scores[point] < scores[best] else best

    return list(accumulate(scores, better))
