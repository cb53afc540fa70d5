"""Bayesian optimisation over where to cut and which heads to use, with what blocks and heads cost as features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from nas.objectives import measured
from nas.problem import Evaluate, Found, Pending, Problem, Report, Score
from nas.records.status import OK
from nas.strategies.random_search import checked_trials, drawn, recommended
from nas.strategies.surrogate.candidates import Candidates
from nas.strategies.surrogate.expected_improvement import expected_improvement
from nas.strategies.surrogate.features import Features
from nas.strategies.surrogate.gaussian_process import GaussianProcess
from nas.strategies.surrogate.prior_rows import PriorRows, prior_rows
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError

AUGMENTATION = 0.05  # of ParEGO's scalarisation: how much the sum counts beside the largest objective


class Surrogate:
    """A Gaussian process over `Features` predicts what was not trained; trained next is what is expected to improve most.

    trials   trainings
    initial  the first so many are random; none of them where there is a prior
    pool     candidates are all decouplings of the space, or of a larger one so many at random and the neighbours of the best
    prior    an evaluate.csv or trials.csv of other searches, of whatever space or task: how decouplings compare there
             counts as much as it turns out to tell here (`GaussianProcess`, `sources`)
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
        answer: Literal["measured", "expected"] = "measured",
    ) -> None:
        for name, value in (("initial", initial), ("pool", pool)):
            if value < 1:
                raise UserError(f"surrogate's {name} is a whole number from 1 on, got {value}")
        self.trials, self.initial, self.pool = checked_trials(trials), initial, pool
        self.prior, self.answer = prior, answer

    def search(self, problem: Problem, evaluate: Evaluate, report: Report) -> Found:
        """What `recommended` makes of all that was evaluated, or what is believed to be best of it."""
        if self.answer == "expected" and len(problem.objectives) > 1:
            raise UserError(
                f"surrogate(answer=expected) is for one objective, got {' '.join(problem.objectives)}; leave answer out"
            )
        beliefs = _Beliefs(problem, self.pool, prior_rows(Path(self.prior), problem) if self.prior else None)
        wanted, random_draws = min(self.trials, problem.space.size), drawn(problem)
        num_random = 0 if self.prior else self.initial
        scores: dict[Decoupling, Score] = {}
        in_flight: dict[Decoupling, Pending] = {}
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


class _Beliefs:
    """What scores, and a prior, say of the decouplings of a problem's space."""

    def __init__(self, problem: Problem, pool: int, prior: PriorRows | None) -> None:
        self.problem, self.prior = problem, prior
        self.features, self.candidates = Features(problem.space), Candidates(problem.space, pool, problem.seed)
        known = self.features.of_all(self.candidates.points)
        if prior is not None:
            known = np.concatenate([known, prior.features])
        spread = known.std(axis=0)
        self._varies = spread > 1e-9
        self._spread = spread[self._varies]

    def most_promising(self, scores: Mapping[Decoupling, Score], in_flight: Sequence[Decoupling]) -> Decoupling:
        """The largest expected improvement on what is believed of the best that was trained."""
        ranked = sorted(scores, key=lambda point: scores[point].error)
        candidates = self.candidates.unseen({*scores, *in_flight}, ranked)
        process = self._process(scores, in_flight)
        mean, std = process.posterior(self._inputs(candidates))
        trained = process.posterior(self._inputs(list(scores)))[0] if scores else mean
        return candidates[int(np.argmax(expected_improvement(mean, std, float(trained.min()))))]

    def lowest(self, scores: Mapping[Decoupling, Score]) -> Decoupling:
        """Of what was trained, the lowest posterior mean."""
        points = [point for point in scores if scores[point].status == OK] or list(scores)
        return points[int(np.argmin(self._process(scores, ()).posterior(self._inputs(points))[0]))]

    def _process(self, scores: Mapping[Decoupling, Score], in_flight: Sequence[Decoupling]) -> GaussianProcess:
        values = _standardised(_targets(list(scores.values()), self.problem, len(scores) + len(in_flight)))
        inputs = self._inputs([*scores, *in_flight])
        values = np.concatenate([values, np.zeros(len(in_flight))])
        sources = np.zeros(len(values), int)
        if self.prior is not None:
            inputs = np.concatenate([inputs, self._scaled(self.prior.features)])
            values = np.concatenate([values, self.prior.values])
            sources = np.concatenate([sources, self.prior.sources])
        return GaussianProcess.fitted(inputs, values, sources, seed=self.problem.seed)

    def _inputs(self, points: list[Decoupling]) -> np.ndarray:
        return self._scaled(self.features.of_all(points))

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return features[:, self._varies] / self._spread


def _targets(scores: Sequence[Score], problem: Problem, asked: int) -> np.ndarray:
    """(N,): the objective, or several along random weights; what failed has the largest of what did not."""
    if not scores:
        return np.zeros(0)
    values = np.array([measured(score, problem.objectives) for score in scores])
    failed = np.array([score.status != OK for score in scores])
    if failed.any() and not failed.all():
        values[failed] = values[~failed].max(axis=0)
    if len(problem.objectives) == 1:
        return values[:, 0]
    lowest, highest = values.min(axis=0), values.max(axis=0)
    shares = (values - lowest) / np.where(highest > lowest, highest - lowest, 1.0)
    weights = np.random.default_rng((problem.seed, asked)).dirichlet(np.ones(values.shape[1]))
    return (weights * shares).max(axis=1) + AUGMENTATION * (weights * shares).sum(axis=1)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std() if len(values) else 0.0
    return (values - values.mean()) / (spread or 1.0) if len(values) else values
