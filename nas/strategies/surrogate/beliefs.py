"""What a Gaussian process makes of the scores that a search has so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.objectives import measured
from nas.problem import Problem, Score
from nas.records.status import OK
from nas.strategies.rank import rank
from nas.strategies.surrogate.candidates import Candidates
from nas.strategies.surrogate.expected_improvement import expected_improvement
from nas.strategies.surrogate.features import Features
from nas.strategies.surrogate.gaussian_process import GaussianProcess
from nas.strategies.surrogate.prior import Prior, joined
from spaces.decoupling import Decoupling

AUGMENTATION = 0.05  # of ParEGO's scalarisation: how much the sum counts beside the largest objective


class Beliefs:
    """What scores, and a prior, say of the decouplings of a problem's space."""

    def __init__(
        self, problem: Problem, pool: int, prior: Prior | None = None, shortly: Mapping[Decoupling, Score] | None = None
    ) -> None:
        """`shortly` are scores of short trainings, which count as a further prior where they tell decouplings apart."""
        self.problem = problem
        self.features = Features(problem.space)
        known = shortly or {}
        self._best_before = sorted(known, key=lambda point: rank(known[point]))
        self.candidates = Candidates(problem.space, pool, problem.seed, self._best_before)
        told = prior_of_scores(known, self.features)
        self.prior = joined([each for each in (prior, told) if each is not None])
        inputs = self.features.of_all(self.candidates.points)
        spread = (inputs if self.prior is None else np.concatenate([inputs, self.prior.features])).std(axis=0)
        self._varies = spread > 1e-9
        self._spread = spread[self._varies]

    def most_promising(self, scores: Mapping[Decoupling, Score], in_flight: Sequence[Decoupling]) -> Decoupling:
        """The largest expected improvement on what is believed of the best that was trained; the lowest mean before any was."""
        ranked = sorted(scores, key=lambda point: scores[point].error) or self._best_before
        candidates = self.candidates.unseen({*scores, *in_flight}, ranked)
        process = self._process(scores, in_flight)
        mean, std = process.posterior(self._inputs(candidates))
        if not scores:  # everything improves on nothing, and by its own value
            return candidates[int(np.argmin(mean))]
        trained, _ = process.posterior(self._inputs(list(scores)))
        return candidates[int(np.argmax(expected_improvement(mean, std, float(trained.min()))))]

    def believed(self, scores: Mapping[Decoupling, Score]) -> dict[Decoupling, float]:
        """The posterior mean of all candidates, and of what was trained; in standard deviations of the scores."""
        points = list(dict.fromkeys((*self.candidates.points, *scores)))
        return dict(zip(points, self._process(scores, ()).posterior(self._inputs(points))[0].tolist(), strict=True))

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


def prior_of_scores(scores: Mapping[Decoupling, Score], features: Features) -> Prior | None:
    """Errors of other trainings of decouplings of the same space, as a source; None where they are all the same."""
    errors = _measured(list(scores.values()), ("error",))[:, 0]
    if len(errors) == 0 or np.ptp(errors) == 0:
        return None
    return Prior(features.of_all(list(scores)), _standardised(errors), np.ones(len(scores), int))


def _measured(scores: Sequence[Score], objectives: Sequence[str]) -> np.ndarray:
    """(N, objectives); what failed has the largest of what did not, and all the same where nothing else is known."""
    values = np.array([measured(score, objectives) for score in scores], float).reshape(len(scores), len(objectives))
    failed = np.array([score.status != OK for score in scores], bool) | ~np.isfinite(values).all(axis=1)
    values[failed] = 1.0 if failed.all() else values[~failed].max(axis=0)
    return values


def _targets(scores: Sequence[Score], problem: Problem, asked: int) -> np.ndarray:
    """(N,): the objective, or several along random weights."""
    values = _measured(scores, problem.objectives)
    if len(problem.objectives) == 1:
        return values[:, 0]
    lowest, highest = values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf)
    shares = (values - lowest) / np.where(highest > lowest, highest - lowest, 1.0)
    weights = np.random.default_rng((problem.seed, asked)).dirichlet(np.ones(values.shape[1]))
    return (weights * shares).max(axis=1) + AUGMENTATION * (weights * shares).sum(axis=1)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std() if len(values) else 0.0
    return (values - values.mean()) / (spread or 1.0) if len(values) else values
