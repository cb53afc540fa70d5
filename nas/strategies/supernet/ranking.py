"""From the noisy losses of candidates to an order of decouplings."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

import numpy as np

from nas.strategies.surrogate.features import Features
from nas.strategies.surrogate.gaussian_process import GaussianProcess
from spaces.decoupling import Decoupling
from spaces.space import SearchSpace

RANKED = 2000  # decouplings of a large space
FITTED = 300  # losses that the process is fitted to, since that takes the cube of their number


def candidates_of(space: SearchSpace, number: int, seed: int) -> list[Decoupling]:
    """All decouplings of the space, or so many different ones, drawn uniformly."""
    if space.size <= number:
        return list(space.enumerate())
    rng, drawn = random.Random(seed), dict[Decoupling, None]()
    while len(drawn) < number:
        drawn[space.sample(rng)] = None
    return list(drawn)


def smoothed(losses: Mapping[Decoupling, float], space: SearchSpace, seed: int) -> dict[Decoupling, float]:
    """What a Gaussian process over features makes of the losses, of each decoupling of the space, or of a large one of those that
    have a loss and some at random. What diverged counts as the largest loss that is finite."""
    features = Features(space)
    finite = [loss for loss in losses.values() if math.isfinite(loss)]
    points = list(dict.fromkeys((*losses, *candidates_of(space, RANKED, seed))))
    if not finite:
        return dict.fromkeys(points, math.inf)
    known = list(losses)[:FITTED]
    values = np.array([min(losses[point], max(finite)) for point in known])
    table = features.of_all(points)
    spread = table.std(axis=0)
    varies = spread > 1e-9
    scale = values.std() or 1.0

    def inputs(rows: np.ndarray) -> np.ndarray:
        return rows[:, varies] / spread[varies]

    process = GaussianProcess.fitted(inputs(features.of_all(known)), values / scale, seed=seed)
    mean, _ = process.posterior(inputs(table))
    return dict(zip(points, (scale * mean).tolist(), strict=True))
