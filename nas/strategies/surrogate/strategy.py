"""Bayesian optimisation over where to cut and which heads to use, with what blocks and heads cost as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from nas.problem import Evaluate, Found, Pending, Problem, Report, Score
from nas.strategies.first import first_decouplings
from nas.strategies.random_search import checked_trials, drawn, recommended
from nas.strategies.surrogate.beliefs import Beliefs
from nas.strategies.surrogate.prior_rows import prior_rows
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


class Surrogate:
    """A Gaussian process predicts what was not trained, from where cuts lie and what blocks and heads cost; trained next is what
    is expected to improve most.

    trials   trainings
    initial  the first so many are random; none of them where there is a prior
    pool     candidates are all decouplings of the space, or of a larger one so many at random and the neighbours of the best
    prior    an evaluate.csv or trials.csv of other searches, of whatever space or task: how decouplings compare there
             counts as much as it turns out to tell here
    first    rules of decouplings that come before these, part of the budget
    answer   measured: the lowest validation error. expected: of what was trained, what the process believes to be lowest, which
             does not fall for the luckiest seed

    Trial n is asked for as soon as trial n - `evaluate.at_once` was told; what is in flight is taken for average meanwhile (the
    constant liar). Several objectives are minimised along random weights, drawn anew for each trial (ParEGO, Knowles 2006).
    A training that failed counts as the worst of those that did not.
    """

    def __init__(
        self,
        *,
        trials: int = 10,
        initial: int = 5,
        pool: int = 2000,
        prior: str | None = None,
        first: Sequence[str] | None = None,
        answer: Literal["measured", "expected"] = "measured",
    ) -> None:
        for name, value in (("initial", initial), ("pool", pool)):
            if value < 1:
                raise UserError(f"surrogate's {name} is a whole number from 1 on, got {value}")
        self.trials, self.initial, self.pool = checked_trials(trials), initial, pool
        self.prior, self.answer, self.first = prior, answer, first

    def believed(self, problem: Problem, scores: Mapping[Decoupling, Score]) -> dict[Decoupling, float]:
        """What the scores make it believe of every decoupling of the space, or of a large one of those in its pool: the lower the
        better, in an arbitrary unit; for one objective."""
        return self._beliefs(problem).believed(scores)

    def trainings(self, problem: Problem) -> int:
        """How many decouplings it asks for at most."""
        return self.trials

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What `recommended` makes of all that was evaluated, or what is believed to be best of it."""
        if self.answer == "expected" and len(problem.objectives) > 1:
            raise UserError(
                f"surrogate(answer=expected) is for one objective, got {' '.join(problem.objectives)}; leave answer out"
            )
        beliefs = self._beliefs(problem)
        first = first_decouplings(self.first, problem, self.trials)
        wanted, random_draws = min(self.trials, problem.space.size), drawn(problem, first)
        num_random = max(len(first), 0 if self.prior else self.initial)
        scores: dict[Decoupling, Score] = {}
        in_flight: dict[Decoupling, Pending] = {}
        report("trials", 0, wanted)
        while len(scores) < wanted:
            while len(in_flight) < min(evaluate.at_once, wanted - len(scores)):
                asked = len(scores) + len(in_flight)
                blind = asked < num_random or not (scores or self.prior)
                point = next(random_draws) if blind else beliefs.most_promising(scores, tuple(in_flight))
                in_flight[point] = evaluate.begin(point)
            oldest = next(iter(in_flight))
            scores[oldest] = in_flight.pop(oldest).result()
            report("trials", len(scores), wanted, best_error=min(score.error for score in scores.values()))
        if self.answer == "expected":
            return Found(beliefs.lowest(scores))
        return recommended(scores, problem.objectives)

    def _beliefs(self, problem: Problem) -> Beliefs:
        return Beliefs(problem, self.pool, prior_rows(Path(self.prior), problem) if self.prior else None)
