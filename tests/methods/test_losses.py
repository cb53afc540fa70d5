"""Losses against formulas written out by hand."""

import math

import pytest
import torch

from methods.losses import smoothed_cross_entropy
from methods.predsim import similarity_matrix


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_gives_the_right_class_1_minus_e_and_shares_e_among_the_others(num_classes: int, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(5, num_classes, generator=generator, dtype=torch.float64)
    y = torch.randint(num_classes, (5,), generator=generator)
    expected = 0.0
    for row, label in zip(logits.tolist(), y.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(value) for value in row))
        for c, value in enumerate(row):
            target = 1 - smoothing if c == label else smoothing / (num_classes - 1)
            expected -= target * (value - log_sum) / len(y)
    assert smoothed_cross_entropy(logits, y, smoothing).item() == pytest.approx(expected, rel=1e-12)


def naive_similarity(samples: list[list[float]]) -> list[list[float]]:
    """Cosines of samples that are each centred over their own features."""
    centred = [[value - sum(row) / len(row) for value in row] for row in samples]
    norms = [math.sqrt(sum(value**2 for value in row)) for row in centred]
    return [
        [sum(a * b for a, b in zip(row, other, strict=True)) / (norms[i] * norms[j]) for j, other in enumerate(centred)]
        for i, row in enumerate(centred)
    ]


def spreads(maps: torch.Tensor) -> list[list[float]]:
    """The standard deviation over space of each channel of (N, C, H, W)."""
    result: list[list[float]] = []
    for sample in maps.tolist():
        result.append([])
        for channel in sample:
            values = [value for row in channel for value in row]
            mean = sum(values) / len(values)
            result[-1].append(math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)))
    return result


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_similarity_of_vectors() -> None:
    h = noise(6, 7)
    torch.testing.assert_close(similarity_matrix(h), torch.tensor(naive_similarity(h.tolist())), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 8, 3, 4), (4, 2, 2, 2), (3, 6, 1, 2)])
def test_similarity_of_maps_compares_spreads_over_space(shape: tuple[int, ...]) -> None:
    h = noise(*shape)
    torch.testing.assert_close(similarity_matrix(h), torch.tensor(naive_similarity(spreads(h))), rtol=1e-3, atol=1e-4)


def test_similarity_of_single_pixels_compares_their_values() -> None:
    h = noise(5, 8, 1, 1)
    torch.testing.assert_close(similarity_matrix(h), similarity_matrix(h[:, :, 0, 0]))


def test_similarity_of_labels_is_1_or_minus_1_over_the_other_classes() -> None:
    y = torch.tensor([0, 2, 0, 1, 3])
    matrix = similarity_matrix(torch.nn.functional.one_hot(y, 4))
    expected = torch.where(y[:, None] == y, 1.0, -1 / 3)
    torch.testing.assert_close(matrix, expected)


def test_similarity_stays_in_its_range_and_finite_where_nothing_varies() -> None:
    for h in (torch.ones(3, 4, 2, 2), torch.zeros(3, 4), 1e4 * noise(3, 4, 2, 2), 1e-6 * noise(3, 4)):
        h.requires_grad_()
        matrix = similarity_matrix(h)
        matrix.sum().backward()
        assert matrix.abs().max() <= 1 and h.grad is not None and h.grad.isfinite().all()


def test_similarity_is_computed_in_float32_under_autocast() -> None:
    h = noise(6, 16, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = similarity_matrix(h)
    assert torch.equal(inside, similarity_matrix(h))
