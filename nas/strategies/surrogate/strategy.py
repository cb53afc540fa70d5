"""Bayesian optimisation over where to cut and which heads to use, with what blocks and heads cost as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from nas.problem import Evaluate, Found, Pending, Problem, Report, Score
from nas.strategies.first import first_decouplings
from nas.strategies.random_search import checked_trials, drawn, recommended
from nas.strategies.short_trainings import ShortTrainings
from nas.strategies.surrogate.beliefs import Beliefs, prior_of_scores
from nas.strategies.surrogate.prior import joined
from nas.strategies.surrogate.prior_rows import prior_rows
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

INITIAL, CANDIDATES = 5, 50


class Surrogate:
    """A Gaussian process predicts what was not trained, from where cuts lie and what blocks and heads cost; trained next is what
    is expected to improve most.

    trials      trainings of the whole length
    initial     the first so many are random; None for 5, or none of them where there is a prior or a fidelity
    pool        trained may be all decouplings of the space, or of a larger one so many at random and the neighbours of the best
    prior       an evaluate.csv or trials.csv of other searches, of whatever space or task: how decouplings compare there
                counts as much as it turns out to tell here
    fidelity    before, candidates are trained for this share of the iterations, each with a whole learning-rate schedule, and
                count as a prior does; None for no such trainings
    candidates  so many of these, or all of the space where it has no more; None for 50
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
        initial: int | None = None,
        pool: int = 2000,
        prior: str | None = None,
        fidelity: float | None = None,
        candidates: int | None = None,
        first: Sequence[str] | None = None,
        answer: Literal["measured", "expected"] = "measured",
    ) -> None:
        for name, value in (("initial", initial), ("pool", pool), ("candidates", candidates)):
            if value is not None and value < 1:
                raise UserError(f"surrogate's {name} is a whole number from 1 on, got {value}")
        if candidates is not None and fidelity is None:
            raise UserError(
                f"surrogate's candidates are trained to a fidelity, got candidates={candidates} alone; give fidelity too"
            )
        self.trials, self.pool = checked_trials(trials), pool
        self.initial = initial if initial is not None else 0 if prior or fidelity else INITIAL
        self.prior, self.answer, self.first = prior, answer, first
        self.short_trainings = None if fidelity is None else ShortTrainings("surrogate", fidelity, candidates or CANDIDATES)
        self.own_schedules = fidelity is not None

    def believed(
        self, problem: Problem, scores: Mapping[Decoupling, Score], shortly: Mapping[Decoupling, Score] | None = None
    ) -> dict[Decoupling, float]:
        """What the scores, and those of short trainings, make it believe of every decoupling of the space, or of a large one of
        those in its pool: the lower the better, in an arbitrary unit; for one objective."""
        return self._beliefs(problem, shortly or {}).believed(scores)

    def trainings(self, problem: Problem) -> float:
        """Of how many whole trainings the iterations are that it asks for, at most."""
        return min(self.trials, problem.space.size) + (self.short_trainings.cost(problem) if self.short_trainings else 0)

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What `recommended` makes of all that was evaluated, or what is believed to be best of it."""
        if self.answer == "expected" and len(problem.objectives) > 1:
            raise UserError(
                f"surrogate(answer=expected) is for one objective, got {' '.join(problem.objectives)}; leave answer out"
            )
        first = first_decouplings(self.first, problem, self.trials)
        wanted, random_draws = min(self.trials, problem.space.size), drawn(problem, first)
        num_random = max(len(first), self.initial)
        shortly = self._shortly(problem, evaluate, first, wanted, report)
        beliefs = self._beliefs(problem, shortly)
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
        if self.short_trainings is None:
            return {}
        if problem.objectives != ("error",):
            raise UserError(
                f"surrogate's short trainings tell of error alone, got {' '.join(problem.objectives)}; leave the others out, or "
                "fidelity"
            )
        total = self.short_trainings.number(problem) + wanted
        return self.short_trainings.scores(problem, evaluate, first, lambda done: report("trials", done, total))

    def _beliefs(self, problem: Problem, shortly: Mapping[Decoupling, Score]) -> Beliefs:
        priors = [prior_rows(Path(self.prior), problem)] if self.prior else []
        if shortly:
            priors.append(prior_of_scores(shortly, problem))
        return Beliefs(problem, self.pool, joined(priors) if priors else None)
