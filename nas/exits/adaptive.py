"""Adaptive inference: a sample leaves at the first exit that is sure enough, and costs nothing from there on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from methods.method import Method
from nas.exits.confidence import CONFIDENCES, ConfidenceRule, confidence, largest
from spaces.activation import rows
from spaces.notation.errors import UserError

_ROUNDING = 1e-5  # of confidences in float32


class Answers(NamedTuple):
    """What samples were answered, and where.

    logits  (N, C), float32 at least, of the exit at which each sample left, divided by its temperature where there are any
    depths  int64 (N,): how many blocks each sample ran through, 1 at least
    """

    logits: torch.Tensor
    depths: torch.Tensor


@torch.no_grad()
def adaptive(
    method: Method,
    x: torch.Tensor,
    rule: ConfidenceRule,
    threshold: float,
    *,
    temperatures: Sequence[float] | None = None,
    max_depth: int | None = None,
) -> Answers:
    """Run x (N, *input_shape), or token ids (N, T), block by block; a sample leaves where `rule` gives `threshold` or more.

    At `max_depth`, the number of blocks unless given, all leave. `temperatures` divide the logits, one an exit, before the
    rule sees them. The batch shrinks as samples leave, and so does its padding, so each answer is that of the sample run
    alone. The method is in evaluation mode. Exits that give no logits are a UserError, as is a threshold outside (0, 1] other
    than infinity, at which none leaves early, and one that no exit can reach.
    """
    last = checked_depth(method, max_depth) - 1
    check_threshold(threshold)
    check_reachable(method, rule, threshold, temperatures, last)
    carry, here = method.start(x), torch.empty(0, dtype=torch.long)
    answers, before = None, None
    for k in range(last + 1):
        carry = method.run_block(k, carry)
        given = checked_logits(method, k, method.exit_logits(k, carry))
        logits = given if temperatures is None else given / temperatures[k]
        if answers is None:
            here = torch.arange(len(logits), device=logits.device)
            answers = Answers(torch.empty_like(logits), torch.empty_like(here))
        answers.logits[here], answers.depths[here] = logits, k + 1  # of those who stay, until they come to the next exit
        sure = confidence(rule, logits, before, None if method.logit_range is None else given)
        staying = (sure < threshold).nonzero().squeeze(1) if k < last else here[:0]
        if not len(staying):
            break
        if len(staying) < len(here):
            carry, here, logits = rows(carry, staying), here[staying], logits[staying]
        before = logits
    assert answers is not None, "a network has a block"
    return answers


def checked_depth(method: Method, max_depth: int | None) -> int:
    """The depth at which all samples leave; the number of blocks where none is given."""
    depth = method.net.num_blocks if max_depth is None else max_depth
    if not 1 <= depth <= method.net.num_blocks:
        raise UserError(f"a depth is a number of blocks in 1..{method.net.num_blocks} of this network, got {depth}")
    return depth


def check_threshold(threshold: float) -> None:
    """Refuse what no confidence can be; 0 would let go of samples of which a rule says nothing."""
    if not 0 < threshold <= 1 and threshold != math.inf:
        raise UserError(
            f"a threshold is a confidence above 0 and at most 1, or inf, at which all stay to the end, got "
            f"{threshold}; 0.9 is a usual one"
        )


def check_reachable(
    method: Method, rule: ConfidenceRule, threshold: float, temperatures: Sequence[float] | None, num_exits: int
) -> None:
    """Refuse a threshold that a rule of the table cannot reach at the first `num_exits` exits: it would let nobody leave."""
    if threshold == math.inf or not num_exits or rule not in (CONFIDENCES[name] for name in CONFIDENCES):
        return
    exits = [1.0] * num_exits if temperatures is None else temperatures[:num_exits]
    reached = largest(rule, method.net.num_classes, method.logit_range, exits)
    if reached < threshold - _ROUNDING:
        raise UserError(
            f"by the rule {rule.__name__} the exits before the last of this method reach {reached:.4f} at most, got "
            f"the threshold {threshold:g}, at which nobody would leave; take a lower one or the rule sigmoid"
        )


def checked_logits(method: Method, k: int, logits: torch.Tensor) -> torch.Tensor:
    """The logits (N, C) of exit k in float32 at least; other outputs, such as embeddings, are a UserError."""
    if logits.shape[-1] != method.net.num_classes:
        raise UserError(
            f"a sample leaves early with logits, one a class of {method.net.num_classes}, but exit {k} of this "
            f"method gives {logits.shape[-1]} numbers; methods with loss=contrast answer at the last exit alone"
        )
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
