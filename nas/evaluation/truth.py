"""What a table of trained decouplings says is true, and how far a search is from it.

A decoupling's true error is the mean of its test errors over the seeds of the table. It is itself measured: the smallest
of many means lies too low, so even the best decoupling has some regret, and a search that sees one of the seeds has seen a
part of what it is judged by.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations
from math import comb
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from spaces.decoupling import Decoupling
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


@dataclass(frozen=True)
class Reliability:
    """How well a table ranks its own decouplings. `split_half`: Spearman's rho between the means of two disjoint halves of the
    seeds, mean over random halves. `whole`: that of the means over all seeds, which Spearman and Brown's formula makes of it."""

    split_half: float
    whole: float

    @property
    def best_rho(self) -> float:
        """About what a ranking without any error correlates with the table's means by; nothing is expected to reach more."""
        return self.whole**0.5


def reliability(test_errors: pd.DataFrame, *, splits: int = 200) -> Reliability:
    """Of a table of at least 2 seeds and 3 decouplings, from so many random halves, or all where there are fewer; of an odd
    number of seeds each split leaves one out.

    With rho r between halves of h of n seeds the whole has (n / h) r / (1 + (n / h - 1) r), or 0 where r is not above 0.
    """
    num_points, num_seeds = test_errors.shape
    if num_seeds < 2 or num_points < 3:
        raise UserError(
            f"reliability is of a table of 2 seeds and 3 decouplings or more, got {num_seeds} seeds and {num_points} "
            "decouplings; train more"
        )
    size, values = num_seeds // 2, test_errors.to_numpy()
    halves = _halves(num_seeds, splits)
    rho = fmean(_spearman(values[:, first].mean(axis=1), values[:, second].mean(axis=1)) for first, second in halves)
    longer, positive = num_seeds / size, max(0.0, rho)
    return Reliability(rho, longer * positive / (1 + (longer - 1) * positive))


def by_num_blocks(test_errors: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The parts of the table whose decouplings have equally many blocks, by K, rising."""
    counts = test_errors.index.map(lambda point: Decoupling.parse(point).num_blocks)
    return {int(num_blocks): test_errors[counts == num_blocks] for num_blocks in sorted(set(counts))}


def _halves(num_seeds: int, splits: int) -> list[tuple[list[int], list[int]]]:
    """Disjoint halves, each pair once."""
    size, seeds = num_seeds // 2, range(num_seeds)
    num_pairs = comb(num_seeds, size) * comb(num_seeds - size, size) // 2
    if num_pairs <= splits:
        pairs = (
            (first, second)
            for first in combinations(seeds, size)
            for second in combinations([seed for seed in seeds if seed not in first], size)
        )
        return [(list(first), list(second)) for first, second in pairs if first < second]
    rng = random.Random(0)
    drawn = (rng.sample(seeds, 2 * size) for _ in range(splits))
    return [(order[:size], order[size:]) for order in drawn]


def _spearman(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


def rank_correlation(scores: Mapping[str, float], test_errors: pd.DataFrame) -> float:
    """Spearman's rho between scores (lower is better) and true errors, over the decouplings of the table.

    A decoupling of the table without a score is a KeyError.
    """
    truth = true_errors(test_errors)
    return _spearman([scores[point] for point in truth.index], truth.to_numpy())


def incumbents(scores: Mapping[str, float]) -> list[str]:
    """After each of the trainings, in the order of `scores`, the decoupling of the lowest score; the earlier of equals."""

    def better(best: str, point: str) -> str:
        return point if scores[point] < scores[best] else best

    return list(accumulate(scores, better))
