"""The confidence rules against a class-by-class count in plain Python, and what all of them hold."""

import math
from typing import Any

import pytest
import torch

from nas.exits.confidence import CONFIDENCES
from nas.exits.confidence import confidence as checked
from spaces.notation.errors import UserError

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 3.0, 2.5], [-4.0, -5.0, -4.5]], dtype=torch.float64)
BEFORE = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [9.0, 0.0, 0.0]], dtype=torch.float64)


def probabilities(row: list[float]) -> list[float]:
    total = sum(math.exp(logit) for logit in row)
    return [math.exp(logit) / total for logit in row]


def expected(name: str, row: list[float], before: list[float]) -> float:
    p, q = probabilities(row), probabilities(before)
    best = p.index(max(p))
    return {
        "max_softmax": max(p),
        "margin": sorted(p)[-1] - sorted(p)[-2],
        "entropy": 1 + sum(share * math.log(share) for share in p) / math.log(3),
        "agreement": min(p[best], q[best]) if q.index(max(q)) == best else 0.0,
        "sigmoid": max(1 / (1 + math.exp(-logit)) for logit in row),
    }[name]


@pytest.mark.parametrize("name", CONFIDENCES)
def test_a_rule_is_what_it_says(name: str) -> None:
    found = CONFIDENCES[name](LOGITS, BEFORE)
    counted = [expected(name, *rows) for rows in zip(LOGITS.tolist(), BEFORE.tolist(), strict=True)]
    torch.testing.assert_close(found, torch.tensor(counted, dtype=torch.float64), atol=1e-14, rtol=0)


@pytest.mark.parametrize("name", CONFIDENCES)
def test_a_rule_grows_with_the_largest_logit_and_stays_in_0_and_1(name: str) -> None:
    torch.manual_seed(0)
    logits = 5 * torch.randn(200, 7)
    before = logits + torch.randn(200, 7)
    surer = logits + 2 * torch.nn.functional.one_hot(logits.argmax(1), 7)
    low, high = CONFIDENCES[name](logits, before), CONFIDENCES[name](surer, before)
    assert low.shape == (200,) and (low <= high).all() and (low < high).any()
    extreme = torch.tensor([[1e4, 0, 0], [0, 0, 0], [-1e4, -1e4, -1e4]])
    for confidence in (low, high, CONFIDENCES[name](extreme, extreme), CONFIDENCES[name](extreme, None)):
        assert ((confidence >= 0) & (confidence <= 1)).all()


def test_nobody_agrees_with_an_exit_that_is_not_there() -> None:
    assert not CONFIDENCES["agreement"](LOGITS, None).any()
    for name in set(CONFIDENCES) - {"agreement"}:
        assert torch.equal(CONFIDENCES[name](LOGITS, None), CONFIDENCES[name](LOGITS, BEFORE))


def test_a_misspelt_rule_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match="max_softmax"):
        CONFIDENCES["max_softmx"]


@pytest.mark.parametrize(
    ("made", "came"),
    [
        (lambda p: p, r"\[5, 3\]"),
        (lambda p: p.amax(1, keepdim=True), r"\[5, 1\]"),
        (lambda p: p.max(), r"\[\]"),
        (lambda p: 0.5, "float"),
    ],
)
def test_a_rule_of_ones_own_that_gives_no_number_a_sample_is_refused(made: Any, came: str) -> None:
    """A number a class would let other samples leave than are sure."""
    logits = torch.randn(5, 3)
    assert checked(lambda logits, before: logits.softmax(1).amax(1), logits, None, None).shape == (5,)
    with pytest.raises(UserError, match=rf"shape \[5\], got .*{came}"):
        checked(lambda logits, before: made(logits.softmax(1)), logits, None, None)
