"""One search with one seed, with everything that it was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.objectives import measured, pareto_front
from nas.problem import Evaluate, Found, Problem, Report, Score, Strategy
from spaces.decoupling import Decoupling


@dataclass(frozen=True)
class Evaluated:
    """A decoupling that a search with this seed asked for, and its score."""

    seed: int
    decoupling: Decoupling
    score: Score


@dataclass(frozen=True)
class Searched:
    """What a search found, and the scores that it asked for, in order."""

    seed: int
    found: Found
    scores: dict[Decoupling, Score]

    @property
    def score(self) -> Score:
        """The score of the decoupling that it recommends."""
        return self.scores[self.found.decoupling]

    @property
    def evaluated(self) -> list[Evaluated]:
        """Everything that it asked for."""
        return [Evaluated(self.seed, decoupling, score) for decoupling, score in self.scores.items()]


def search(strategy: Strategy, problem: Problem, evaluate: Evaluate, report: Report) -> Searched:
    """Search with the problem's seed."""
    scores: dict[Decoupling, Score] = {}

    def remembered(decoupling: Decoupling) -> Score:
        scores[decoupling] = evaluate(decoupling)
        return scores[decoupling]

    found = strategy.search(problem, remembered, report)
    assert found.decoupling in scores, "a strategy evaluates what it recommends"
    return Searched(problem.seed, found, scores)


def common_front(searches: Sequence[Searched], objectives: Sequence[str]) -> list[Evaluated]:
    """What is not dominated among the fronts of all searches, lowest error first; the earlier of equals.

    A search without a front stands there with its answer, so that for one objective this is the best answer. A decoupling
    may come once for each seed, as it is trained from each.
    """
    fronts = [Evaluated(search.seed, decoupling, search.scores[decoupling])
              for search in searches for decoupling in search.found.front or (search.found.decoupling,)]
    kept = pareto_front([measured(point.score, objectives) for point in fronts])
    return sorted((fronts[position] for position in kept), key=lambda point: point.score.error)
