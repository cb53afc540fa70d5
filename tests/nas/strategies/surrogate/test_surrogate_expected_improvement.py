"""The expected improvement against the mean of many draws."""

import numpy as np
import pytest

from nas.strategies.surrogate.expected_improvement import expected_improvement


def test_it_is_the_mean_improvement_of_many_draws():
    rng = np.random.default_rng(0)
    mean, std = np.array([-1.0, 0.0, 0.5, 2.0]), np.array([0.5, 1.0, 2.0, 1.0])
    draws = mean + std * rng.normal(size=(400_000, 4))
    expected = np.maximum(0.0, 0.3 - draws).mean(axis=0)
    assert expected_improvement(mean, std, 0.3) == pytest.approx(expected, abs=0.01)


def test_what_is_certain_improves_by_what_it_is_lower():
    assert expected_improvement(np.array([1.0, 3.0]), np.zeros(2), 2.5).tolist() == [1.5, 0.0]
