"""A table of trained decouplings: what is true by it, and what trainings take."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.sedona_truth import seconds_of_trainings
from nas.evaluation.tabular import Tabular
from nas.evaluation.truth import by_num_blocks, errors, rank_correlation, regrets, reliability
from nas.problem import Problem
from nas.strategies.surrogate.features import Features
from spaces.decoupling import Decoupling

TOP = 0.01  # of the decouplings, one at least


class Truth:
    """Of the decouplings of the problem's space: their true errors by the table at `path`, and the seconds of their trainings,
    measured here."""

    def __init__(self, path: Path, problem: Problem) -> None:
        self.path, self.problem = path, problem
        self.points = list(problem.space.enumerate())
        names = {str(point) for point in self.points}
        self.all_rows = Tabular(problem, path).rows
        self.rows = [row for row in self.all_rows if row["decoupling"] in names]
        self.test_errors = errors(self.rows)
        self.regret = regrets(self.test_errors)
        self.num_seeds = self.test_errors.shape[1]
        number = max(1, round(TOP * len(self.test_errors)))
        self.top = set(self.regret.sort_values(kind="stable").index[:number])
        self.ranked = [part for part in by_num_blocks(self.test_errors).values() if len(part) > 2]  # that can be
        self.features = Features(problem.space)
        self.seconds = self._seconds()
        self.training_seconds = self.seconds[str(self.points[len(self.points) // 2])]

    def _seconds(self) -> dict[str, float]:
        """Of each training: those of one decoupling with as many blocks, measured here, times its MACs over that one's."""
        macs = {point: self.features.training_macs(point) for point in self.points}
        by_count = [[point for point in self.points if point.num_blocks == count] for count in self.problem.space.block_counts]
        middles = [sorted(points, key=macs.__getitem__)[len(points) // 2] for points in by_count]
        measured = seconds_of_trainings(self.problem, middles)
        return {
            str(point): seconds * macs[point] / macs[middle]
            for points, middle, seconds in zip(by_count, middles, measured, strict=True)
            for point in points
        }

    def together(self, points: Iterable[Decoupling]) -> float:
        """Seconds of trainings in one go: of each stage its share of MACs, one that several begin with once."""
        stages = {
            (point.cuts[: k + 1], point.heads[: k + 1], k == len(point.cuts)): share * self.seconds[str(point)]
            for point in points
            for k, share in enumerate(self.features.stage_shares(point))
        }
        return sum(stages.values())

    def within(self, scores: dict[Decoupling, float]) -> float | None:
        """Spearman's rho within equal numbers of blocks, mean over these weighted by the decouplings; of 3 or more each."""
        named = {str(point): score for point, score in scores.items()}
        if not self.ranked or any(name not in named for part in self.ranked for name in part.index):
            return None
        found = [rank_correlation(named, part) for part in self.ranked]
        return float(np.average(found, weights=list(map(len, self.ranked))))

    def best_rho(self) -> float | None:
        """What is expected of a ranking without any error; unknown of one seed."""
        if self.num_seeds == 1 or not self.ranked:
            return None
        return float(np.average([reliability(part).best_rho for part in self.ranked], weights=list(map(len, self.ranked))))
