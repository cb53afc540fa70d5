"""Early exits against a plain loop over the same layers, and the weight of their losses."""

import pytest
import torch
from torch.nn import functional as F

from methods.early_exit import EarlyExit
from methods.table import METHODS
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.5)", (3, 8, 8), 4)


def build(**settings: float) -> EarlyExit:
    torch.manual_seed(0)
    return EarlyExit(SPACE.build(Decoupling((2, 4), ("linear", "linear"))), label_smoothing=0.0, **settings)


@pytest.mark.parametrize("weight", [1.0, 0.25, 3.0])
def test_the_loss_and_its_gradients_are_those_of_a_plain_loop(weight: float) -> None:
    x, y = torch.randn(8, 3, 8, 8), torch.arange(8) % 4
    method, other = build(exit_weight=weight), build(exit_weight=weight)
    (loss,) = method.losses(x, y)
    loss.backward()
    h0 = other.net.blocks[0](x)
    h1 = other.net.blocks[1](h0)
    h2 = other.net.blocks[2](h1)
    first, second, last = (F.cross_entropy(head(h), y) for head, h in zip(other.net.heads, (h0, h1, h2), strict=True))
    expected = weight * (first + second) + last
    expected.backward()
    torch.testing.assert_close(loss, expected)
    for own, plain in zip(method.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(own.grad, plain.grad)


def test_the_classifiers_loss_crosses_the_cuts() -> None:
    """Which tells it from a decoupled network with the same heads. Heads of zeros hand no gradient to what is below them."""
    x, y = torch.randn(8, 3, 8, 8), torch.arange(8) % 4
    method, other = build(), build()
    for parameter in method.net.heads[:2].parameters():
        parameter.data.zero_()
    (loss,) = method.losses(x, y)
    loss.backward()
    F.cross_entropy(other(x), y).backward()
    for own, plain in zip(method.net.blocks.parameters(), other.net.blocks.parameters(), strict=True):
        assert plain.grad is not None and plain.grad.any()
        torch.testing.assert_close(own.grad, plain.grad)


@pytest.mark.parametrize("weight", [0, -1.0, "1e999"])
def test_a_weight_that_is_no_weight_is_told(weight: object) -> None:
    with pytest.raises(UserError, match="exit_weight is the weight of each early exit's loss"):
        METHODS.build(f"early_exit(exit_weight={weight})", SPACE.build(Decoupling()))


def test_man_around_joint_learning_is_refused() -> None:
    with pytest.raises(UserError, match="blocks that learn apart.*early_exit"):
        METHODS.build("man(base=early_exit)", SPACE.build(Decoupling()))
