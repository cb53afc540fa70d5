"""Shares under a space's constraints, against the same by enumeration."""

from math import prod

import pytest
import torch

from nas.strategies.sedona.conditioned import ConditionedArchitecture, log_weight
from nas.strategies.sedona.relaxation import Architecture
from spaces.space import SearchSpace

CONSTRAINTS = [
    {},
    {"num_blocks": 3},
    {"num_blocks": (2, 4)},
    {"min_block": 2},
    {"num_blocks": 3, "min_block": 2},
    {"gaps": (1, 2, 5)},
    {"gaps": (1, 2, 4, 5), "num_blocks": (1, 3)},
    {"gaps": (2, 3), "num_blocks": 2},
    {"num_blocks": 6},
]


def make_space(**constraints):
    return SearchSpace("small(width=0.25)", ["linear"], input_shape=(1, 8, 8), num_classes=10, **constraints)


def random_alpha(space, scale=1.0):
    return scale * torch.randn(len(space.gaps), 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def enumerated(alpha, space):
    """P(gap j is cut | the decoupling is in the space), each gap cut by itself with softmax(alpha_j)[0]."""
    chances = alpha.softmax(1)
    weights, cut = [], torch.zeros(len(space.gaps), dtype=torch.float64)
    for point in space.enumerate():
        weights.append(prod(chances[j, 0 if gap in point.cuts else 1] for j, gap in enumerate(space.gaps)))
        for gap in point.cuts:
            cut[space.gaps.index(gap)] += weights[-1].detach()
    return cut / sum(weights).detach()


@pytest.mark.parametrize("constraints", CONSTRAINTS)
def test_shares_are_the_probabilities_of_the_cuts(constraints):
    space = make_space(**constraints)
    alpha = random_alpha(space)
    shares = ConditionedArchitecture(alpha, torch.zeros(len(space.gaps), 1), space).shares
    torch.testing.assert_close(shares[:, 0], enumerated(alpha, space), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(shares.sum(1), torch.ones_like(shares[:, 0]), rtol=0, atol=1e-14)
    assert not shares.requires_grad


def test_the_shares_of_k_blocks_sum_to_k_minus_1():
    space = make_space(num_blocks=4)
    assert ConditionedArchitecture(random_alpha(space, 5), torch.zeros(5, 1), space).shares[:, 0].sum() == pytest.approx(3)


def test_a_space_that_allows_everything_has_sedonas_own_shares():
    space = make_space()
    alpha = random_alpha(space).float()
    free, conditioned = Architecture(alpha, torch.zeros(5, 1)), ConditionedArchitecture(alpha, torch.zeros(5, 1), space)
    torch.testing.assert_close(conditioned.shares, free.shares)


@pytest.mark.parametrize("constraints", CONSTRAINTS)
def test_shares_have_the_right_derivative(constraints):
    space = make_space(**constraints)

    def shares(alpha):
        return ConditionedArchitecture(alpha, torch.zeros(len(space.gaps), 1), space).shares

    assert torch.autograd.gradcheck(shares, random_alpha(space).requires_grad_())


@pytest.mark.parametrize("scale", [30.0, 300.0])
def test_decided_gaps_keep_finite_shares_and_derivatives(scale):
    space = make_space(num_blocks=3, min_block=2)
    alpha = random_alpha(space, scale).requires_grad_()
    shares = ConditionedArchitecture(alpha, torch.zeros(len(space.gaps), 1), space).shares
    (gradient,) = torch.autograd.grad(shares.square().sum(), alpha)
    assert shares.isfinite().all() and gradient.isfinite().all()


def test_an_even_chance_for_each_gap_weighs_each_set_of_cuts_alike():
    space = make_space(num_blocks=3, min_block=2)
    assert log_weight(torch.zeros(len(space.gaps), dtype=torch.float64), space).exp() == pytest.approx(space.size)
