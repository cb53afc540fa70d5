"""Candidates that are trained for a share of the iterations before some of them are trained wholly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from nas.evaluations import in_order
from nas.problem import Evaluate, Problem, Score
from nas.strategies.random_search import drawn
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class ShortTrainings:
    """Of `candidates` decouplings, or all of a space that has no more, for the share `fidelity` of the iterations; each with a
    whole schedule, since the `strategy`, by its name, has `own_schedules`."""

    strategy: str
    fidelity: float
    candidates: int

    def __post_init__(self) -> None:
        if not 0 < self.fidelity < 1:
            raise UserError(
                f"{self.strategy}'s fidelity is a share of the iterations, above 0 and below 1, got {self.fidelity:g}"
            )
        if self.candidates < 2:
            raise UserError(f"{self.strategy} compares candidates, two at least, got candidates={self.candidates}")

    def number(self, problem: Problem) -> int:
        """How many decouplings they train."""
        return min(self.candidates, problem.space.size)

    def cost(self, problem: Problem) -> float:
        """Of how many whole trainings their iterations are; a UserError where they would be as long as these."""
        iterations, whole = problem.iterations_at(self.fidelity), problem.settings.iterations
        if iterations == whole:
            raise UserError(
                f"{self.strategy} trains candidates for fewer iterations than all, got fidelity={self.fidelity:g} of {whole}; "
                "give a smaller fidelity, or more iterations"
            )
        return self.number(problem) * iterations / whole

    def scores(
        self, problem: Problem, evaluate: Evaluate, first: Sequence[Decoupling], told: Callable[[int], None]
    ) -> dict[Decoupling, Score]:
        """The scores, of those of `first` before any at random; `told` hears how many there are."""
        self.cost(problem)
        scores: dict[Decoupling, Score] = {}
        told(0)
        for decoupling, score in in_order(evaluate, islice(drawn(problem, first), self.number(problem)), self.fidelity):
            scores[decoupling] = score
            told(len(scores))
        return scores
