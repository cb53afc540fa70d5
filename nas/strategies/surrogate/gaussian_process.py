"""A Gaussian process: what is believed of a function after some noisy values of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

Array = np.ndarray

JITTER = 1e-8
RESTARTS = 1  # starts of the search for hyperparameters, drawn from the prior, beside its mode
EFFORT = {"maxiter": 60}
BOUNDS = 4.0  # how many of the prior's standard deviations hyperparameters may lie from its mean


@dataclass(frozen=True)
class Hyperparameters:
    """Of the kernel: a length scale for each of D features, the variances of the function and of the noise, and how much the
    functions of other sources have in common with it, in 0..1."""

    lengths: Array
    signal: float = 1.0
    noise: float = 0.1
    transfer: float = 0.5


class GaussianProcess:
    """The posterior of a function of D features from noisy values of it, by a Matern-5/2 kernel with a length for each feature.

    inputs   (N, D), of about unit variance
    values   (N,), of about unit variance
    sources  (N,) whole numbers; 0 is the function that is asked for, others are like it: between values of two sources the
             kernel is multiplied by `transfer`, so that their values count as much as they turn out to tell. None: all are 0

    The values of each source are taken from their mean. Exact: O(N^3).
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

        inputs, prior = np.asarray(inputs, float), _Prior(np.shape(inputs)[1])
        own = np.zeros(len(inputs), int) if sources is None else np.asarray(sources)
        centred, _ = _centred(values, own)
        squares = (inputs[:, None, :] - inputs[None, :, :]) ** 2
        same = own[:, None] == own[None, :]

        def objective(logs: Array) -> tuple[float, Array]:
            likelihood, gradient = log_likelihood(logs, squares, centred, same)
            away = (logs - prior.mean) / prior.std
            return 0.5 * float(away @ away) - likelihood, away / prior.std - gradient

        rng = np.random.default_rng(seed)
        starts = [prior.mean, *(prior.mean + prior.std * rng.normal(size=len(prior.mean)) for _ in range(RESTARTS))]
        bounds = list(zip(prior.mean - BOUNDS * prior.std, prior.mean + BOUNDS * prior.std, strict=True))
        found = [minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=EFFORT) for start in starts]
        best = min(found, key=lambda one: float(one.fun))
        return GaussianProcess(inputs, values, hyperparameters(best.x), own)

    def posterior(self, inputs: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (M,) of the function itself, without noise, at inputs (M, D)."""
        from scipy.linalg import cho_solve, solve_triangular

        across = self._kernel(np.asarray(inputs, float), np.zeros(len(inputs), int))
        mean = across @ cho_solve((self._factor, True), self._values)
        reduced = solve_triangular(self._factor, across.T, lower=True)
        variance = self.hyperparameters.signal - (reduced**2).sum(axis=0)
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
        common = np.where(sources[:, None] == self.sources[None, :], 1.0, parameters.transfer)
        return parameters.signal * common * _matern(np.sqrt(np.maximum(squares, 0.0)))


def log_likelihood(logs: Array, squares: Array, values: Array, same: Array) -> tuple[float, Array]:
    """The logarithm of the marginal likelihood of centred values (N,), and its gradient, at `logs` (D + 3,): the logarithms of
    lengths, signal and noise, and the logit of transfer. `squares` (N, N, D) are squared differences of features, `same`
    (N, N) says which values are of one source."""
    from scipy.linalg import cho_solve

    parameters, n = hyperparameters(logs), len(values)
    r = np.sqrt(squares @ parameters.lengths**-2.0)
    common = np.where(same, 1.0, parameters.transfer)
    matern = _matern(r)
    kernel = parameters.signal * common * matern
    factor = np.linalg.cholesky(kernel + (parameters.noise + JITTER) * np.eye(n))
    weights = cho_solve((factor, True), values)
    likelihood = -0.5 * float(values @ weights) - float(np.log(np.diag(factor)).sum()) - 0.5 * n * math.log(2 * math.pi)
    outer = np.outer(weights, weights) - cho_solve((factor, True), np.eye(n))
    slope = outer * (parameters.signal * common * (5 / 3) * (1 + math.sqrt(5) * r) * np.exp(-math.sqrt(5) * r))
    by_transfer = np.where(same, 0.0, parameters.signal * matern * parameters.transfer * (1 - parameters.transfer))
    gradient = [
        *(0.5 * np.tensordot(slope, squares, axes=2) / parameters.lengths**2),
        0.5 * (outer * kernel).sum(),
        0.5 * parameters.noise * np.trace(outer),
        0.5 * (outer * by_transfer).sum(),
    ]
    return likelihood, np.array(gradient)


def hyperparameters(logs: Array) -> Hyperparameters:
    """Of the numbers that `log_likelihood` takes."""
    *lengths, signal, noise, transfer = (float(log) for log in logs)
    return Hyperparameters(np.exp(lengths), math.exp(signal), math.exp(noise), 1 / (1 + math.exp(-transfer)))


class _Prior:
    """Normal, of the numbers that `log_likelihood` takes."""

    def __init__(self, num_features: int) -> None:
        lengths = [math.sqrt(2) + math.log(num_features) / 2] * num_features
        self.mean = np.array([*lengths, 0.0, math.log(0.3), 0.0])
        self.std = np.array([*[math.sqrt(3)] * num_features, 1.0, 1.5, 2.0])


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
