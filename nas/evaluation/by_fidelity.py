"""What scores the decouplings of a search at each fidelity: one evaluator for all, or with own schedules one for each."""

from __future__ import annotations

from collections.abc import Callable

from nas.evaluation.evaluators import SearchEvaluator
from nas.problem import Problem, Score
from spaces.decoupling import Decoupling


class ByFidelity:
    """`scores(decoupling, fidelity)` asks the evaluator that `evaluator_of` makes of the problem.

    Trainings at a fidelity below 1 are the beginning of the whole one, and go on to it. With `own_schedules` they are runs of so
    many iterations, whose schedule ends with them, scored by an evaluator of that shorter problem; none goes on from another.
    """

    def __init__(
        self, evaluator_of: Callable[[Problem], SearchEvaluator], problem: Problem, *, own_schedules: bool = False
    ) -> None:
        self.own_schedules, self.whole = own_schedules, evaluator_of(problem)  # `whole` scores at fidelity 1
        self._evaluator_of, self._problem = evaluator_of, problem
        self._shorter: dict[int, SearchEvaluator] = {}  # by iterations

    def at(self, fidelity: float) -> tuple[SearchEvaluator, float]:
        """The evaluator of the trainings at this fidelity, and the fidelity that they have there."""
        if fidelity == 1 or not self.own_schedules:
            return self.whole, fidelity
        problem = self._problem.shortened(fidelity)
        iterations = problem.settings.iterations
        if iterations == self._problem.settings.iterations:
            return self.whole, 1.0
        if iterations not in self._shorter:
            self._shorter[iterations] = self._evaluator_of(problem)
        return self._shorter[iterations], 1.0

    def __call__(self, decoupling: Decoupling, fidelity: float = 1.0) -> Score:
        """The score; an evaluator that knows of no fidelity is asked for none where it is 1."""
        evaluator, share = self.at(fidelity)
        return evaluator(decoupling, *(() if share == 1 else (share,)))

    def recorded(self, decoupling: Decoupling, fidelity: float = 1.0) -> dict[str, str] | None:
        """The row behind the score."""
        evaluator, share = self.at(fidelity)
        return evaluator.recorded(decoupling, *(() if share == 1 else (share,)))
