"""Losses against formulas written out by hand."""

import math

import pytest
import torch

from methods.losses import smoothed_cross_entropy, supervised_contrast
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


def naive_contrast(features: torch.Tensor, y: list[int], temperature: float) -> torch.Tensor:
    """Khosla et al. (2020), eq. 2, term by term; a sample without another of its class has none."""
    terms = []
    cosine = torch.nn.functional.cosine_similarity
    for i in range(len(y)):
        others = [j for j in range(len(y)) if j != i]
        logits = torch.stack([cosine(features[i], features[j], dim=0) / temperature for j in others])
        shares = [logits[n] - logits.logsumexp(0) for n, j in enumerate(others) if y[j] == y[i]]
        if shares:
            terms.append(-sum(shares, torch.zeros(())) / len(shares))
    return sum(terms, torch.zeros(())) / max(1, len(terms))


@pytest.mark.parametrize("temperature", [0.001, 0.07, 1.0])
@pytest.mark.parametrize("y", [[0, 1, 0, 2, 1, 0, 3], [4, 4, 4, 4], [0, 0], [1, 2, 2]])
def test_contrast_is_the_papers_mean_with_its_gradient(y: list[int], temperature: float) -> None:
    features = torch.randn(len(y), 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    exact = features.detach().double().requires_grad_()
    loss, expected = supervised_contrast(features, torch.tensor(y), temperature), naive_contrast(exact, y, temperature)
    (gradient,), (expected_gradient,) = torch.autograd.grad(loss, features), torch.autograd.grad(expected, exact)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=1e-3, atol=1e-6 / temperature)


@pytest.mark.parametrize("y", [[0], [0, 1, 2, 3]])
def test_contrast_without_positives_is_nothing_to_learn_from(y: list[int]) -> None:
    features = torch.randn(len(y), 5, requires_grad=True)
    loss = supervised_contrast(features, torch.tensor(y), 0.07)
    loss.backward()
    assert loss == 0 and features.grad is not None and not features.grad.any()


def test_contrast_in_bf16_is_that_of_the_rounded_features() -> None:
    features, y = torch.randn(32, 16, generator=torch.Generator().manual_seed(0)).bfloat16(), torch.arange(32) % 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = supervised_contrast(features, y, 0.01)
    assert found.dtype == torch.float32 and torch.equal(found, supervised_contrast(features.float(), y, 0.01))


def test_contrast_of_features_without_a_direction() -> None:
    """A head whose last hidden layer is silent gives 0: no cosine, no gradient, and none that is huge."""
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    features[2] = 0
    features.requires_grad_()
    supervised_contrast(features, torch.arange(6) % 2, 0.07).backward()
    assert features.grad is not None and features.grad.isfinite().all()
    assert not features.grad[2].any() and features.grad[[0, 1, 3, 4, 5]].any(1).all()
