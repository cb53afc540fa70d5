"""The expected largest block against the sum over all decouplings, its gradient against finite differences."""

from itertools import pairwise

import pytest
import torch

from nas.strategies.sedona import expected_cost
from nas.strategies.sedona.expected_cost import ExpectedLargest, log_probability
from nas.strategies.sedona.relaxation import Architecture
from spaces.decoupling import Decoupling
from spaces.space import SearchSpace

HEADS = ["linear", "conv(depth=1)", "mlp_sr"]
SPACES = [
    {},
    {"num_blocks": 3},
    {"num_blocks": (2, 4)},
    {"num_blocks": (1, 3)},
    {"num_blocks": 1},
    {"num_blocks": 6},
    {"gaps": [2, 3, 5]},
    {"gaps": [1, 2, 4], "min_block": 2},
    {"min_block": 2},
    {"min_block": 2, "num_blocks": (2, 3)},
    {"min_block": 3, "num_blocks": 2},
    {"min_block": 4},
    {"gaps": [4], "num_blocks": 2},
]


def make_space(num_heads=2, **constraints):
    return SearchSpace("small", HEADS[:num_heads], input_shape=(3, 32, 32), num_classes=10, **constraints)


def random_architecture(space, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return Architecture(
        *(scale * torch.randn(len(space.gaps), n, generator=generator, dtype=torch.float64) for n in (2, len(space.heads)))
    )


def jagged(start, stop, head):
    """A cost without any order in its arguments, with many ties."""
    return float((7 * start + 5 * stop + 3 * (4 if head is None else head)) % 11)


def largest(space, decoupling, cost):
    edges = (0, *decoupling.cuts, space.num_units)
    heads = [*(space.heads.index(head) for head in decoupling.heads), None]
    return max(cost(start, stop, head) for (start, stop), head in zip(pairwise(edges), heads, strict=True))


def by_enumeration(space, architecture, cost):
    points = list(space.enumerate())
    weights = torch.stack([log_probability(architecture, space, point) for point in points]).softmax(dim=0)
    return torch.dot(weights, torch.tensor([largest(space, point, cost) for point in points], dtype=torch.float64))


def gradients(value, architecture):
    return torch.autograd.grad(value, (architecture.alpha, architecture.beta), materialize_grads=True)


@pytest.mark.parametrize("num_heads", [1, 2, 3])
@pytest.mark.parametrize("constraints", SPACES, ids=str)
def test_mean_and_gradient_are_those_of_the_sum_over_all_decouplings(constraints, num_heads):
    space = make_space(num_heads, **constraints)
    expected = ExpectedLargest(space, jagged)
    for seed in range(3):
        architecture = random_architecture(space, seed)
        for logits in (architecture.alpha, architecture.beta):
            logits.requires_grad_()
        fast, slow = expected(architecture), by_enumeration(space, architecture, jagged)
        torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradients(fast, architecture), gradients(slow, architecture), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("constraints", [{}, {"min_block": 2, "num_blocks": (2, 3)}, {"gaps": [1, 3, 4], "num_blocks": 2}])
def test_gradient_is_that_of_finite_differences(constraints):
    space = make_space(**constraints)
    expected, start = ExpectedLargest(space, jagged), random_architecture(space)
    leaves = (start.alpha.requires_grad_(), start.beta.requires_grad_())
    assert torch.autograd.gradcheck(lambda alpha, beta: expected(Architecture(alpha, beta)), leaves)


@pytest.mark.parametrize("scale", [40.0, 1000.0])
@pytest.mark.parametrize("constraints", [{}, {"num_blocks": 3}, {"min_block": 2}])
def test_a_decided_architecture_has_exactly_its_decouplings_largest_block(constraints, scale):
    """Logits as far apart as 2000, whose softmax is 0 and 1 in float64."""
    space = make_space(**constraints)
    expected = ExpectedLargest(space, jagged)
    for point in [*space.enumerate()][::7]:
        alpha = torch.tensor([[scale, -scale] if gap in point.cuts else [-scale, scale] for gap in space.gaps])
        beta = torch.zeros(len(space.gaps), len(space.heads))
        for cut, head in zip(point.cuts, point.heads, strict=True):
            beta[space.gaps.index(cut), space.heads.index(head)] = 2 * scale
        found = expected(Architecture(alpha.requires_grad_(), beta.requires_grad_()))
        assert found.item() == pytest.approx(largest(space, point, jagged), abs=1e-12)
        assert all(gradient.abs().max() < 1e-12 for gradient in gradients(found, Architecture(alpha, beta)))


@pytest.mark.parametrize("constraints", [{"num_blocks": 2}, {"num_blocks": (1, 2)}, {"min_block": 3}])
def test_logits_that_want_what_the_space_forbids_still_give_the_conditioned_mean(constraints):
    """Every gap wants to be cut so much that all allowed decouplings together have a probability below the least float."""
    space = make_space(**constraints)
    architecture = random_architecture(space)
    architecture.alpha[:, 0] += 300
    leaves = Architecture(architecture.alpha.requires_grad_(), architecture.beta.requires_grad_())
    total = torch.stack([log_probability(leaves, space, point) for point in space.enumerate()]).logsumexp(dim=0)
    assert float(total.detach().exp()) == 0
    fast, slow = ExpectedLargest(space, jagged)(leaves), by_enumeration(space, leaves, jagged)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradients(fast, leaves), gradients(slow, leaves), rtol=1e-9, atol=1e-10)


def test_too_many_costs_are_rounded_up_and_never_by_more_than_a_level(monkeypatch):
    monkeypatch.setattr(expected_cost, "MAX_LEVELS", 25)
    space = make_space(3)

    def cost(start, stop, head):
        return 100 * ((start * 0.37 + stop * 0.61 + (5 if head is None else head) * 0.83) % 1)

    exact = by_enumeration(space, random_architecture(space), cost)
    rounded = ExpectedLargest(space, cost)(random_architecture(space))
    assert 0 < rounded - exact < 100 / 24


def test_float32_logits_get_float32_gradients():
    space = make_space(num_blocks=(1, 3))
    exact = random_architecture(space)
    leaves = Architecture(exact.alpha.float().requires_grad_(), exact.beta.float().requires_grad_())
    found = ExpectedLargest(space, jagged)(leaves)
    torch.testing.assert_close(found, by_enumeration(space, exact, jagged), rtol=1e-6, atol=0)
    assert {gradient.dtype for gradient in gradients(found, leaves)} == {torch.float32}


def make_deep_space(num_blocks):
    return SearchSpace("resnet152", HEADS, input_shape=(3, 32, 32), num_classes=10, num_blocks=num_blocks)


def test_forty_nine_gaps_against_the_probability_that_no_cut_has_the_first_head():
    space = make_deep_space(None)
    architecture = random_architecture(space)
    found = ExpectedLargest(space, lambda start, stop, head: float(head == 0))(architecture)
    with_first = architecture.shares[:, 0] * architecture.mixture[:, 0]
    torch.testing.assert_close(found, 1 - (1 - with_first).prod(), rtol=1e-12, atol=0)


def test_forty_nine_gaps_are_alike_where_nothing_is_decided():
    """Of K - 1 cuts at 49 like gaps, one lies at a given gap with probability (K - 1) / 49."""
    found = ExpectedLargest(make_deep_space(8), lambda start, stop, head: float(stop == 20))(Architecture.zeros(49, 3))
    assert float(found) == pytest.approx(7 / 49)


def test_probabilities_of_all_ways_to_cut_sum_to_one():
    for num_heads in (1, 2, 3):
        space = make_space(num_heads)
        architecture = random_architecture(space)
        scores = torch.stack([log_probability(architecture, space, point) for point in space.enumerate()])
        assert float(scores.logsumexp(dim=0)) == pytest.approx(0, abs=1e-12)


def test_log_probability_is_the_sum_of_the_gaps_choices():
    space = make_space(gaps=[1, 3, 4])
    shares = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.1, 0.9]])
    mixture = torch.tensor([[0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    point = Decoupling((1, 4), (space.heads[1], space.heads[0]))
    found = log_probability(Architecture(shares.log(), mixture.log()), space, point)
    assert found.dtype == torch.float64
    assert float(found.exp()) == pytest.approx((0.25 * 0.8) * 0.5 * (0.1 * 0.6))
