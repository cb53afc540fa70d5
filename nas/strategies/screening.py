"""Screening: many decouplings for a short while, each with a whole schedule, and the best of them wholly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from nas.evaluations import in_order
from nas.problem import Evaluate, Found, Problem, Report, Score
from nas.strategies.first import first_decouplings
from nas.strategies.random_search import best, checked_trials, drawn
from nas.strategies.rank import rank
from nas.strategies.short_trainings import ShortTrainings
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


class Screening:
    """Trains many decouplings for a share of the iterations, each with a whole learning-rate schedule, and the best of them for
    all iterations.

    trials      trainings of the whole length
    fidelity    the share of the iterations that every candidate is trained for; its schedule ends with them
    candidates  so many decouplings at random, more than trials, or all of the space where it has no more
    first       rules of decouplings that are candidates before any that is sampled

    Of the short trainings the lowest validation errors are chosen, the earlier of equals, and what failed only where too few did
    not. A whole training begins anew, so all cost as much as trials + fidelity * candidates whole trainings, or less where
    candidates are trained together (--train-together), since what they begin with is then trained once. The answer is the lowest
    error of the whole trainings. A space with no more decouplings than trials is trained wholly, without short trainings.
    Other objectives than error need no training to be known, and are refused.
    """

    own_schedules = True

    def __init__(
        self, *, trials: int = 3, fidelity: float = 0.1, candidates: int = 50, first: Sequence[str] | None = None
    ) -> None:
        if candidates <= checked_trials(trials):
            raise UserError(
                f"screening trains the best of its candidates wholly, got candidates={candidates} for trials={trials}; give more "
                "candidates, or fewer trials"
            )
        self.trials, self.candidates, self.first = trials, candidates, first
        self.short_trainings = ShortTrainings("screening", fidelity, candidates)

    def trainings(self, problem: Problem) -> float:
        """Of how many whole trainings the iterations are that it asks for."""
        trials, short = self._numbers(problem)
        return trials + (self.short_trainings.cost(problem) if short else 0)

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """The decoupling with the lowest error of those that were trained wholly."""
        if problem.objectives != ("error",):
            raise UserError(f"screening minimises error alone, got {' '.join(problem.objectives)}; leave the others out")
        trials, short = self._numbers(problem)
        first, total = first_decouplings(self.first, problem, self.candidates, setting="candidates"), short + trials
        if short:
            shortly = self.short_trainings.scores(problem, evaluate, first, lambda done: report("trials", done, total))
            chosen = sorted(shortly, key=lambda decoupling: rank(shortly[decoupling]))[:trials]
        else:
            chosen = list(islice(drawn(problem, first), trials))
            report("trials", 0, total)
        scores: dict[Decoupling, Score] = {}
        for decoupling, score in in_order(evaluate, chosen):
            scores[decoupling] = score
            best_error = min(score.error for score in scores.values())
            report("trials", short + len(scores), total, best_error=best_error)
        return Found(best(scores))

    def _numbers(self, problem: Problem) -> tuple[int, int]:
        """How many decouplings are trained wholly, and how many shortly before: none where all are trained wholly."""
        candidates = min(self.candidates, problem.space.size)
        return (self.trials, candidates) if candidates > self.trials else (candidates, 0)
