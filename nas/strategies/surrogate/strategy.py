"""Bayesian optimisation over where to cut and which heads to use, with what blocks and heads cost as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from nas.problem import Evaluate, Found, Pending, Problem, Report, Score
from nas.strategies.first import first_decouplings
from nas.strategies.random_search import checked_trials, drawn, recommended
from nas.strategies.short_trainings import ShortTrainings
from nas.strategies.surrogate.beliefs import Beliefs
from nas.strategies.surrogate.prior import Prior
from nas.strategies.surrogate.prior_rows import prior_rows
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

CANDIDATES = 50


class Surrogate:
    """A Gaussian process predicts what was not trained, from where cuts lie and what blocks and heads cost; trained next is what
    is expected to improve most.

    trials      trainings of the whole length
    initial     the first so many are random; none of them where a prior or short trainings tell more
    pool        trained may be all decouplings of the space, or of a larger one so many at random, what was trained shortly, and
                the neighbours of the best
    prior       an evaluate.csv or trials.csv of other searches, of whatever space or task: how decouplings compare there
                counts as much as it turns out to tell here
    fidelity    before, candidates are trained for this share of the iterations, each with a whole learning-rate schedule, and
                count as a prior does; None for no such trainings, and there are none where all are trained wholly anyway
    candidates  so many of these, or all of the space where it has no more; None for 50. The process takes the cube of their
                number: 3 s for each whole training at 500
    first       rules of decouplings that come before these, part of the budget
    answer      measured: the lowest validation error. expected: of what was trained, what the process believes to be lowest,
                which does not fall for the luckiest seed

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
        fidelity: float | None = None,
        candidates: int | None = None,
        first: Sequence[str] | None = None,
        answer: Literal["measured", "expected"] = "measured",
    ) -> None:
        for name, value in (("initial", initial), ("pool", pool)):
            if value < 1:
                raise UserError(f"surrogate's {name} is a whole number from 1 on, got {value}")
        if candidates is not None and fidelity is None:
            raise UserError(
                f"surrogate's candidates are trained to a fidelity, got candidates={candidates} alone; give fidelity too"
            )
        self.trials, self.initial, self.pool = checked_trials(trials), initial, pool
        self.prior, self.answer, self.first = prior, answer, first
        most = CANDIDATES if candidates is None else candidates
        self.short_trainings = None if fidelity is None else ShortTrainings("surrogate", fidelity, most)
        self.own_schedules = fidelity is not None

    def believed(
        self, problem: Problem, scores: Mapping[Decoupling, Score], shortly: Mapping[Decoupling, Score] | None = None
    ) -> dict[Decoupling, float]:
        """What the scores, and those of short trainings, make it believe of every decoupling of the space, or of a large one of
        those in its pool: the lower the better, in an arbitrary unit; for one objective."""
        return Beliefs(problem, self.pool, self._prior(problem), shortly).believed(scores)

    def trainings(self, problem: Problem) -> float:
        """Of how many whole trainings the iterations are that it asks for, at most."""
        short = self._short_trainings(problem)
        return min(self.trials, problem.space.size) + (short.cost(problem) if short else 0)

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What `recommended` makes of all that was evaluated, or what is believed to be best of it."""
        if self.answer == "expected" and len(problem.objectives) > 1:
            raise UserError(
                f"surrogate(answer=expected) is for one objective, got {' '.join(problem.objectives)}; leave answer out"
            )
        first = first_decouplings(self.first, problem, self.trials)
        wanted, random_draws = min(self.trials, problem.space.size), drawn(problem, first)
        prior = self._prior(problem)
        shortly = self._shortly(problem, evaluate, first, wanted, report)
        beliefs = Beliefs(problem, self.pool, prior, shortly)
        num_random = len(first) if beliefs.prior else max(len(first), self.initial)
        scores: dict[Decoupling, Score] = {}
        in_flight: dict[Decoupling, Pending] = {}
        report("trials", len(shortly), len(shortly) + wanted)
        while len(scores) < wanted:
            while len(in_flight) < min(evaluate.at_once, wanted - len(scores)):
                asked = len(scores) + len(in_flight)
                blind = asked < num_random or not (scores or beliefs.prior)
                point = next(random_draws) if blind else beliefs.most_promising(scores, tuple(in_flight))
                in_flight[point] = evaluate.begin(point)
            oldest = next(iter(in_flight))
            scores[oldest] = in_flight.pop(oldest).result()
            best_error = min(score.error for score in scores.values())
            report("trials", len(shortly) + len(scores), len(shortly) + wanted, best_error=best_error)
        if self.answer == "expected":
            return Found(beliefs.lowest(scores))
        return recommended(scores, problem.objectives)

    def _shortly(
        self, problem: Problem, evaluate: Evaluate, first: Sequence[Decoupling], wanted: int, report: Report
    ) -> dict[Decoupling, Score]:
        """The scores of the short trainings."""
        short = self._short_trainings(problem)
        if short is None:
            return {}
        if problem.objectives != ("error",):
            raise UserError(
                f"surrogate's short trainings tell of error alone, got {' '.join(problem.objectives)}; leave the others out, or "
                "fidelity"
            )
        if len(first) == wanted and self.answer == "measured":
            raise UserError(
                f"surrogate's short trainings choose what is trained wholly, got all of trials={self.trials} in first; give more "
                "trials, or leave fidelity out"
            )
        total = short.number(problem) + wanted
        return short.scores(problem, evaluate, first, lambda done: report("trials", done, total))

    def _short_trainings(self, problem: Problem) -> ShortTrainings | None:
        """None where every decoupling of the space is trained wholly."""
        return self.short_trainings if self.trials < problem.space.size else None

    def _prior(self, problem: Problem) -> Prior | None:
        return prior_rows(Path(self.prior), problem) if self.prior else None
