"""Screening: many decouplings for a short while, each with a whole schedule, and the best of them wholly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

from nas.evaluations import in_order
from nas.problem import Evaluate, Found, Problem, Report, Score
from nas.records.status import OK
from nas.strategies.first import first_decouplings
from nas.strategies.random_search import best, checked_trials, drawn
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


class Screening:
    """Trains many decouplings for a share of the iterations, each with a schedule that ends there, and the best of them wholly.

    trials      trainings of the whole length
    fidelity    the share of the iterations that every candidate is trained for
    candidates  so many at random, or all of the space where it has no more
    first       rules of decouplings that are candidates before any that is sampled

    What goes on depends on errors alone: the lowest, the earlier of equals, and what failed last. It begins anew, so the cost is
    that of trials + fidelity candidates whole trainings; candidates that are trained together share what they begin with. The
    answer is the lowest error of the whole trainings. Other objectives than error need no training to be known, and are refused.
    """

    own_schedules = True

    def __init__(
        self, *, trials: int = 3, fidelity: float = 0.1, candidates: int = 50, first: Sequence[str] | None = None
    ) -> None:
        if not 0 < fidelity < 1:
            raise UserError(f"screening's fidelity is a share of the iterations, above 0 and below 1, got {fidelity:g}")
        if candidates < trials:
            raise UserError(f"screening trains the best of its candidates, got {candidates} of them for {trials} trials")
        self.trials, self.fidelity, self.candidates, self.first = checked_trials(trials), fidelity, candidates, first

    def trainings(self, problem: Problem) -> int:
        """Of how many whole trainings the iterations are that it asks for at most."""
        return math.ceil(self.trials + self.fidelity * min(self.candidates, problem.space.size))

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """The decoupling with the lowest error of those that were trained wholly."""
        if problem.objectives != ("error",):
            raise UserError(f"screening minimises error alone, got {' '.join(problem.objectives)}; leave the others out")
        first = first_decouplings(self.first, problem, self.candidates)
        candidates = list(islice(drawn(problem, first), min(self.candidates, problem.space.size)))
        trials = min(self.trials, len(candidates))
        report("trials", 0, len(candidates) + trials)
        waiting = [evaluate.begin(point, self.fidelity) for point in candidates]
        short = {point: pending.result() for point, pending in zip(candidates, waiting, strict=True)}
        scores: dict[Decoupling, Score] = {}
        for decoupling, score in in_order(evaluate, sorted(candidates, key=lambda point: _rank(short[point]))[:trials]):
            scores[decoupling] = score
            best_error = min(score.error for score in scores.values())
            report("trials", len(candidates) + len(scores), len(candidates) + trials, best_error=best_error)
        return Found(best(scores))


def _rank(score: Score) -> tuple[bool, float]:
    """What failed comes last."""
    return score.status != OK, score.error if math.isfinite(score.error) else 1.0
