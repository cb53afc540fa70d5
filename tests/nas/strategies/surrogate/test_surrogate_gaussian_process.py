"""The Gaussian process against the formulas written out, against scikit-learn's, and against functions drawn from it."""

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from nas.strategies.surrogate.gaussian_process import MEAN, GaussianProcess, Hyperparameters, hyperparameters, log_likelihood

LENGTHS = np.array([0.7, 2.0])


def drawn(n, seed=0, dimensions=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dimensions)), rng.normal(size=n)


def kernel(a, b, signal=1.0):
    """Matern-5/2, a number at a time."""
    r = math.sqrt(sum(((x - y) / length) ** 2 for x, y, length in zip(a, b, LENGTHS, strict=True)))
    return signal * (1 + math.sqrt(5) * r + 5 / 3 * r * r) * math.exp(-math.sqrt(5) * r)


def posterior(inputs, values, sources, at, *, signal, noise, transfers):
    """Mean and variance at one point of source 0, by inverting the covariance; the means of the sources vary by `MEAN` too."""
    shares = [1.0, *transfers]

    def covariance(a, b, i, j):
        return kernel(a, b, signal) * (1.0 if i == j else shares[i] * shares[j]) + MEAN * (i == j)

    n = len(values)
    means = {source: np.mean([values[i] for i in range(n) if sources[i] == source]) for source in set(sources)}
    every = [[covariance(inputs[i], inputs[j], sources[i], sources[j]) + noise * (i == j) for j in range(n)] for i in range(n)]
    across = np.array([covariance(at, inputs[i], 0, sources[i]) for i in range(n)])
    inverse = np.linalg.inv(np.array(every))
    centred = np.array([values[i] - means[sources[i]] for i in range(n)])
    return means.get(0, 0.0) + across @ inverse @ centred, signal + MEAN - across @ inverse @ across


@pytest.mark.parametrize("sources", [[0] * 7, [0, 1, 0, 2, 2, 1, 0], [1, 1, 1, 1, 2, 2, 2]])
def test_the_posterior_is_that_of_the_formula(sources):
    inputs, values = drawn(7)
    given = {"signal": 1.7, "noise": 0.3, "transfers": np.array([0.6, 0.2])}
    process = GaussianProcess(inputs, values, Hyperparameters(LENGTHS, **given), np.array(sources))
    points = drawn(4, seed=1)[0]
    mean, std = process.posterior(points)
    for i, point in enumerate(points):
        expected_mean, expected_variance = posterior(inputs, values, sources, point, **given)
        assert (mean[i], std[i] ** 2) == pytest.approx((expected_mean, expected_variance), rel=1e-5)


def test_the_posterior_and_the_likelihood_are_scikit_learns():
    inputs, values = drawn(12)
    values -= values.mean()
    both = ConstantKernel(1.3) * Matern(LENGTHS, nu=2.5) + ConstantKernel(MEAN)
    other = GaussianProcessRegressor(both, alpha=0.2 + 1e-8, optimizer=None)
    other.fit(inputs, values)
    points = drawn(5, seed=1)[0]
    mean, std = GaussianProcess(inputs, values, Hyperparameters(LENGTHS, 1.3, 0.2)).posterior(points)
    expected = other.predict(points, return_std=True)
    assert mean == pytest.approx(expected[0]) and std == pytest.approx(expected[1])
    logs = np.array([*np.log(LENGTHS), math.log(1.3), math.log(0.2)])
    squares = (inputs[:, None] - inputs[None]) ** 2
    likelihood, _ = log_likelihood(logs, squares, values, np.zeros(12, int))
    assert likelihood == pytest.approx(other.log_marginal_likelihood())


def test_the_mean_is_the_one_that_generalised_least_squares_finds():
    """With a wide prior: what is added to all values of a source is added to what is believed of it, and to nothing else."""
    inputs, values = drawn(9)
    sources, points = np.arange(9) % 2, drawn(4, seed=1)[0]
    given = Hyperparameters(LENGTHS, 1.3, 0.2, np.array([0.7]))
    mean, std = GaussianProcess(inputs, values, given, sources).posterior(points)
    moved = GaussianProcess(inputs, values + np.where(sources == 0, 3.0, -5.0), given, sources).posterior(points)
    assert moved[0] == pytest.approx(mean + 3) and moved[1] == pytest.approx(std)
    ones, squares = np.stack([sources == 0, sources == 1], axis=1).astype(float), (inputs[:, None] - inputs[None]) ** 2
    r = np.sqrt(squares @ LENGTHS**-2.0)
    shares = np.where(sources[:, None] == sources[None], 1.0, 0.7)
    every = 1.3 * shares * (1 + math.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-math.sqrt(5) * r) + 0.2 * np.eye(9)
    solved = np.linalg.solve(every, np.column_stack([ones, values]))
    means = np.linalg.solve(ones.T @ solved[:, :2], ones.T @ solved[:, 2])
    across = np.array([[kernel(at, one, 1.3) for one in inputs] for at in points]) * np.where(sources == 0, 1.0, 0.7)
    assert mean == pytest.approx(means[0] + across @ np.linalg.solve(every, values - ones @ means), abs=0.02)


def test_the_gradient_of_the_likelihood_is_that_of_finite_differences():
    inputs, values = drawn(9)
    squares, sources = (inputs[:, None] - inputs[None]) ** 2, np.arange(9) % 3
    logs = np.array([0.3, -0.4, 0.2, -1.0, 0.7, -0.5])
    _, gradient = log_likelihood(logs, squares, values, sources)
    for i in range(len(logs)):
        step = 1e-5 * np.eye(len(logs))[i]
        above, below = (log_likelihood(logs + sign * step, squares, values, sources)[0] for sign in (1, -1))
        assert gradient[i] == pytest.approx((above - below) / 2e-5, rel=1e-5, abs=1e-7)


def test_what_is_fitted_predicts_better_than_the_mean_and_finds_which_feature_matters():
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(60, 4))
    values = np.sin(2 * inputs[:, 1]) + 0.1 * rng.normal(size=60)
    process = GaussianProcess.fitted(inputs[:40], values[:40])
    mean, std = process.posterior(inputs[40:])
    errors = np.sin(2 * inputs[40:, 1]) - mean
    assert np.square(errors).mean() < 0.1 * values.var()
    assert int(np.argmin(process.hyperparameters.lengths)) == 1
    assert (np.abs(errors) < 3 * std + 0.05).mean() > 0.9


def test_another_source_counts_where_it_is_alike_and_not_where_it_is_not():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 1))
    own, points = inputs[:8], inputs[40:]
    found = {}
    for name, other in (("alike", np.sin(2 * inputs[8:40, 0])), ("another", np.cos(5 * inputs[8:40, 0]))):
        values = np.concatenate([np.sin(2 * own[:, 0]), other])
        process = GaussianProcess.fitted(inputs[:40], values, np.array([0] * 8 + [1] * 32))
        found[name] = (
            np.square(process.posterior(points)[0] - np.sin(2 * points[:, 0])).mean(),
            process.hyperparameters.transfers[0],
        )
    alone = GaussianProcess.fitted(own, np.sin(2 * own[:, 0])).posterior(points)[0]
    without = np.square(alone - np.sin(2 * points[:, 0])).mean()
    assert found["alike"][0] < 0.5 * without and found["another"][0] < 4 * without
    assert found["alike"][1] > 0.8 > found["another"][1]


def test_a_source_counts_by_what_it_has_in_common_whatever_another_has():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(70, 1))
    alike, another = np.sin(2 * inputs[10:40, 0]), np.cos(5 * inputs[40:, 0])
    values = np.concatenate([np.sin(2 * inputs[:10, 0]), alike, another])
    found = GaussianProcess.fitted(inputs, values, np.array([0] * 10 + [1] * 30 + [2] * 30)).hyperparameters.transfers
    assert found[0] > 0.8 > found[1]


def test_hyperparameters_are_positive_and_transfers_are_shares():
    read = hyperparameters(np.array([0.0, math.log(2), math.log(3), math.log(4), 0.0, math.log(3)]), 2)
    assert read.lengths.tolist() == pytest.approx([1, 2]) and (read.signal, read.noise) == pytest.approx((3, 4))
    assert read.transfers.tolist() == pytest.approx([0.5, 0.75])


def test_without_any_feature_there_is_a_mean():
    mean, _ = GaussianProcess.fitted(np.zeros((3, 0)), np.array([1.0, 2.0, 3.0])).posterior(np.zeros((2, 0)))
    assert mean == pytest.approx([2.0, 2.0])


def test_equal_values_are_no_error():
    inputs, _ = drawn(5)
    mean, std = GaussianProcess.fitted(inputs, np.full(5, 0.3)).posterior(inputs)
    assert mean == pytest.approx(np.full(5, 0.3)) and np.isfinite(std).all()
