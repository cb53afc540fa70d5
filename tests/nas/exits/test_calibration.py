"""Temperatures against a search over many, and the calibration error against a count bin by bin."""

import math

import pytest
import torch
from torch.nn import functional as F

from nas.exits.calibration import expected_calibration_error, fit_temperature


def drawn(true_temperature: float, num_samples: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn from their softmax at the true temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(num_samples, 6, generator=generator)
    return logits, torch.multinomial((logits / true_temperature).softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 4.0])
def test_the_temperature_has_the_smallest_loss_of_all(true_temperature: float) -> None:
    logits, y = drawn(true_temperature)
    fitted = fit_temperature(logits, y)
    assert fitted == pytest.approx(true_temperature, rel=0.1)  # as far as 4000 samples know it
    best = F.cross_entropy(logits.double() / fitted, y)
    for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2.0):
        assert best < F.cross_entropy(logits.double() / (factor * fitted), y)


def test_it_stays_within_its_bounds_where_there_is_no_best() -> None:
    logits = torch.eye(3).repeat(5, 1)
    right = torch.arange(3).repeat(5)
    assert fit_temperature(logits, right) == pytest.approx(0.01)
    assert fit_temperature(logits, (right + 1) % 3) == pytest.approx(100)
    assert math.isfinite(fit_temperature(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)))


def test_a_temperature_makes_no_answer_another_and_confidences_truer() -> None:
    logits, y = drawn(4.0)
    cooled = logits / fit_temperature(logits, y)
    assert torch.equal(logits.argmax(1), cooled.argmax(1))
    assert expected_calibration_error(cooled, y) < 0.03 < 0.3 < expected_calibration_error(logits, y)


@pytest.mark.parametrize("num_bins", [1, 4, 15])
def test_the_calibration_error_is_a_count_over_bins(num_bins: int) -> None:
    logits, y = drawn(2.0, 300)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(logits.double(), y.tolist(), strict=True):
        sure, answer = row.softmax(0).max(0)
        bins.setdefault(math.ceil(float(sure) * num_bins), []).append((float(sure), int(answer) == label))
    expected = sum(abs(sum(right for _, right in own) - sum(sure for sure, _ in own)) for own in bins.values()) / 300
    assert expected_calibration_error(logits, y, num_bins) == pytest.approx(expected, abs=1e-12)


def test_who_is_always_sure_errs_as_often_as_it_is_wrong() -> None:
    y = torch.arange(10) % 2
    assert expected_calibration_error(1000.0 * F.one_hot(y, 2), y) == 0
    assert expected_calibration_error(torch.tensor([[1000.0, 0.0]]).expand(10, 2), y) == pytest.approx(0.5)
