"""A method around another one says nothing else than that one where it does not mean to, by every way its exits are asked for."""

from __future__ import annotations

import inspect
from typing import Any
from unittest.mock import Mock, sentinel

import pytest
import torch

from methods.method import Carry, Method, is_derived
from methods.sides import with_side
from methods.table import METHODS, traits
from methods.training.scoring import error_and_loss
from methods.traits import Traits
from methods.wrapped import WrappedMethod
from nas.exits.adaptive import adaptive
from nas.exits.answers import exit_answers
from nas.exits.confidence import max_softmax
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.25)", (3, 8, 8), 4)
POINT = Decoupling((2, 4), ("linear", "linear"))
MEMBERS = [
    name for name, member in vars(Method).items() if not name.startswith("_") and name != "traits" and not is_derived(member)
]


class Own(Method):
    """Its readout is not its head's: the classes stand in reverse order, and logits are tripled."""

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        return Traits(default_head="linear")

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        carry = self.run_block(k, carry)
        return carry, self.cross_entropy(self.exit_logits(k, carry), y)

    def exit_logits(self, k: int, carry: Carry) -> torch.Tensor:
        return 3 * super().exit_logits(k, carry).flip(1)


def build(spec: str, side: str | None) -> Method:
    torch.manual_seed(0)
    known = traits(spec)
    return with_side(METHODS.build(spec, SPACE.build(known.adapt(POINT), head_lookahead=known.head_lookahead)), side).eval()


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_of_a_method_is_forwarded(name: str) -> None:
    """A member that `Method` is given later and a wrapper does not forward fails here."""
    base, own = Mock(), inspect.getattr_static(WrappedMethod, name)
    base.net.blocks = base.lookaheads = ()
    wrapped: Any = Mock(base=base)
    assert name in vars(WrappedMethod), f"WrappedMethod forwards no {name}"
    if isinstance(own, property):
        setattr(base, name, sentinel.of_base)
        assert own.fget is not None and own.fget(wrapped) is sentinel.of_base
        return
    given = [getattr(sentinel, parameter) for parameter in list(inspect.signature(own).parameters)[1:]]
    assert own(wrapped, *given) is getattr(base, name).return_value
    getattr(base, name).assert_called_once_with(*given)


def test_few_members_are_left_to_a_method() -> None:
    assert len(MEMBERS) + 1 <= 12, "a method has these to think of, and traits"


@pytest.mark.parametrize("name", ["forward", "exits", "num_stages"])
def test_what_follows_from_other_members_cannot_be_overridden(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} of a method follows from its other members, got one of Mine's own"):
        type("Mine", (Own,), {name: lambda self, x: x})


def test_a_stage_that_hands_on_no_carry_is_told() -> None:
    class Bare(Own):
        def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
            carry, loss = super().stage(k, carry, y)
            return carry.h, loss

    with pytest.raises(UserError, match="a NamedTuple with a field h, got a Tensor of stage 0 of Bare"):
        list(Bare(SPACE.build(POINT)).losses(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64)))


@pytest.mark.parametrize("side", [None, "conv"])
@pytest.mark.parametrize("spec", [f"{__name__}.Own", f"man(base='{__name__}.Own')", "al(label_dim=8)"])
@torch.no_grad()
def test_an_exit_has_one_readout_by_every_door(spec: str, side: str | None) -> None:
    """Training's scoring and the test error, the exits that ensembles and curves are of, adaptive inference and predictions."""
    method = build(spec, side)
    x, y = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 4
    carry, expected = method.start(x), []
    for k in range(3):
        carry = method.run_block(k, carry)
        innermost, own = method, carry
        while isinstance(innermost, WrappedMethod):
            innermost, own = innermost.base, getattr(own, "base", own)
        expected.append(innermost.exit_logits(k, own))
    if "Own" in spec:
        heads = [
            3 * head(lookahead(h)).flip(1)
            for head, lookahead, h in zip(method.net.heads, method.lookaheads, _activations(method, x), strict=True)
        ]
        torch.testing.assert_close(expected, heads, rtol=0, atol=0)
    answers = exit_answers(method, iter([(x, y)]), "fp32").logits
    for k, logits in enumerate(expected):
        assert torch.equal(method.exit(k, x), logits) and torch.equal(list(method.exits(x))[k], logits)
        assert torch.equal(answers[k], logits)
        left, depths = adaptive(method, x, max_softmax, float("inf"), max_depth=k + 1)
        assert torch.equal(left, logits) and depths.tolist() == [k + 1] * 6
        error, _ = error_and_loss(method, iter([(x, y)]), "fp32", k)
        assert error == pytest.approx((logits.argmax(1) != y).float().mean().item())
    assert torch.equal(method(x), expected[-1])


def _activations(method: Method, x: torch.Tensor) -> list[Any]:
    carry, found = method.start(x), []
    for k in range(method.net.num_blocks):
        carry = method.run_block(k, carry)
        found.append(carry.h)
    return found


@pytest.mark.parametrize(
    ("member", "instead"), [("default_head", "traits"), ("answers_early", "traits"), ("answer", "exit_logits")]
)
def test_a_member_of_an_earlier_version_is_refused_since_it_would_have_no_effect(member: str, instead: str) -> None:
    with pytest.raises(UserError, match=f"in {instead}, got {member} of Mine"):
        type("Mine", (Method,), {member: "mlp_sr"})
