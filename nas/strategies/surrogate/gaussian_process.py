"""A Gaussian process: what is believed of a function after some noisy values of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

Array = np.ndarray

JITTER = 1e-8
RESTARTS = 1  # starts of the search for hyperparameters, drawn from the prior, beside its mode
EFFORT = {"maxiter": 60}
MEAN = 100.0  # variance of each source's mean, of which next to nothing is known
BOUNDS = 4.0  # how many of the prior's standard deviations hyperparameters may lie from its mean


@dataclass(frozen=True)
class Hyperparameters:
    """Of the kernel: a length scale for each of D features, the variances of the functions and of the noise, and how much the
    function of each of S other sources has in common with the one that is asked for, in 0..1."""

    lengths: Array
    signal: float = 1.0
    noise: float = 0.1
    transfers: Array = field(default_factory=lambda: np.zeros(0))


class GaussianProcess:
    """The posterior of a function of D features from noisy values of it, by a Matern-5/2 kernel with a length for each feature.

    inputs   (N, D), of about unit variance
    values   (N,), of about unit variance
    sources  (N,) whole numbers; 0 is the function that is asked for, 1 to S are others that are like it: the kernel between two
             sources is multiplied by how much each has in common with it, so that their values count as much as they turn out
             to tell. None: all are 0

    The mean of each source is unknown, with a wide prior: values that were chosen to be low do not pass for average. Exact:
    O(N^3).
    """

    def __init__(self, inputs: Array, values: Array, hyperparameters: Hyperparameters, sources: Array | None = None) -> None:
        self.inputs, self.hyperparameters = np.asarray(inputs, float), hyperparameters
        self.sources = np.zeros(len(inputs), int) if sources is None else np.asarray(sources)
        self._values, self._mean = _centred(values, self.sources)

    @staticmethod
    def fitted(inputs: Array, values: Array, sources: Array | None = None, *, seed: int = 0) -> GaussianProcess:
        """With the likeliest hyperparameters a posteriori, of a few starts of L-BFGS.

        With few values and many features the marginal likelihood alone would follow the noise, and scikit-learn's regressor
        has no other. So there is a prior: that of lengths grows with sqrt(D), as the distances do (Hvarfner et al. 2024).
        """
        from scipy.optimize import minimize

        inputs = np.asarray(inputs, float)
        own = np.zeros(len(inputs), int) if sources is None else np.asarray(sources)
        prior = _Prior(inputs.shape[1], int(own.max()))
        centred, _ = _centred(values, own)
        squares = (inputs[:, None, :] - inputs[None, :, :]) ** 2

        def objective(logs: Array) -> tuple[float, Array]:
            likelihood, gradient = log_likelihood(logs, squares, centred, own)
            away = (logs - prior.mean) / prior.std
            return 0.5 * float(away @ away) - likelihood, away / prior.std - gradient

        rng = np.random.default_rng(seed)
        starts = [prior.mean, *(prior.mean + prior.std * rng.normal(size=len(prior.mean)) for _ in range(RESTARTS))]
        bounds = list(zip(prior.mean - BOUNDS * prior.std, prior.mean + BOUNDS * prior.std, strict=True))
        found = [minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=EFFORT) for start in starts]
        best = min(found, key=lambda one: float(one.fun))
        return GaussianProcess(inputs, values, hyperparameters(best.x, inputs.shape[1]), own)

    def posterior(self, inputs: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (M,) of the function itself, without noise, at inputs (M, D)."""
        from scipy.linalg import cho_solve, solve_triangular

        across = self._kernel(np.asarray(inputs, float), np.zeros(len(inputs), int))
        mean = across @ cho_solve((self._factor, True), self._values)
        reduced = solve_triangular(self._factor, across.T, lower=True)
        variance = self.hyperparameters.signal + MEAN - (reduced**2).sum(axis=0)
        return self._mean + mean, np.sqrt(np.maximum(variance, 0.0))

    @cached_property
    def _factor(self) -> Array:
        """The lower Cholesky factor of the values' covariance."""
        covariance = self._kernel(self.inputs, self.sources)
        return np.linalg.cholesky(covariance + (self.hyperparameters.noise + JITTER) * np.eye(len(covariance)))

    def _kernel(self, inputs: Array, sources: Array) -> Array:
        """(M, N), between these inputs and those of the values."""
        parameters = self.hyperparameters
        a, b = inputs / parameters.lengths, self.inputs / parameters.lengths
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
        common, same = _common(sources, self.sources, parameters.transfers)
        return parameters.signal * common * _matern(np.sqrt(np.maximum(squares, 0.0))) + MEAN * same


def log_likelihood(logs: Array, squares: Array, values: Array, sources: Array) -> tuple[float, Array]:
    """The logarithm of the marginal likelihood of values (N,), and its gradient, at `logs` (D + 2 + S,): the logarithms of
    lengths, signal and noise, and the logits of transfers. `squares` (N, N, D) are squared differences of features, `sources`
    (N,) says whose each value is."""
    from scipy.linalg import cho_solve

    parameters, n = hyperparameters(logs, squares.shape[2]), len(values)
    r = np.sqrt(squares @ parameters.lengths**-2.0)
    common, same = _common(sources, sources, parameters.transfers)
    matern = _matern(r)
    kernel = parameters.signal * common * matern
    factor = np.linalg.cholesky(kernel + MEAN * same + (parameters.noise + JITTER) * np.eye(n))
    weights = cho_solve((factor, True), values)
    likelihood = -0.5 * float(values @ weights) - float(np.log(np.diag(factor)).sum()) - 0.5 * n * math.log(2 * math.pi)
    outer = np.outer(weights, weights) - cho_solve((factor, True), np.eye(n))
    slope = outer * (parameters.signal * common * (5 / 3) * (1 + math.sqrt(5) * r) * np.exp(-math.sqrt(5) * r))
    between = np.where(same, 0.0, outer * kernel)  # of different sources, where a transfer is a factor
    gradient = [
        *(0.5 * np.tensordot(slope, squares, axes=2) / parameters.lengths**2),
        0.5 * (outer * kernel).sum(),
        0.5 * parameters.noise * np.trace(outer),
        *((1 - transfer) * between[sources == k].sum() for k, transfer in enumerate(parameters.transfers, start=1)),
    ]
    return likelihood, np.array(gradient)


def hyperparameters(logs: Array, num_features: int) -> Hyperparameters:
    """Of the numbers that `log_likelihood` takes."""
    signal, noise = (math.exp(log) for log in logs[num_features : num_features + 2])
    return Hyperparameters(np.exp(logs[:num_features]), signal, noise, 1 / (1 + np.exp(-logs[num_features + 2 :])))


class _Prior:
    """Normal, of the numbers that `log_likelihood` takes. Of a transfer nothing is presumed: shares near 1 serve short trainings
    that rank well, and lose much with those that do not."""

    def __init__(self, num_features: int, num_others: int) -> None:
        lengths = [math.sqrt(2) + math.log(max(1, num_features)) / 2] * num_features
        self.mean = np.array([*lengths, 0.0, math.log(0.3), *[0.0] * num_others])
        self.std = np.array([*[math.sqrt(3)] * num_features, 1.0, 1.5, *[2.0] * num_others])


def _common(a: Array, b: Array, transfers: Array) -> tuple[Array, Array]:
    """(M, N) of sources (M,) and (N,): how much each pair has in common, and whether they are the same."""
    same, shares = a[:, None] == b[None, :], np.concatenate([[1.0], transfers])
    return np.where(same, 1.0, shares[a][:, None] * shares[b][None, :]), same


def _matern(r: Array) -> Array:
    return (1 + math.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-math.sqrt(5) * r)


def _centred(values: Array, sources: Array) -> tuple[Array, float]:
    """The values, those of each source less their mean; and the mean of those of source 0, or 0 where there are none."""
    centred, own = np.array(values, float), 0.0
    for source in np.unique(sources):
        mean = centred[sources == source].mean()
        centred[sources == source] -= mean
        own = float(mean) if source == 0 else own
    return centred, own
