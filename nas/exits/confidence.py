"""How sure an exit is of its answer: the rules by which adaptive inference lets a sample leave."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from spaces.notation.errors import UserError
from spaces.notation.table import Table

ConfidenceRule = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Logits (N, C) of an exit, and of the one before for the same samples (None at the first) -> (N,) in [0, 1], high where sure."""

_ENOUGH = 1e9  # a logit whose softmax and sigmoid are 1 at any temperature


def max_softmax(logits: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """The largest probability."""
    return logits.softmax(1).amax(1)


def margin(logits: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """The largest probability less the second largest."""
    first, second = logits.softmax(1).topk(2).values.unbind(1)
    return first - second


def entropy(logits: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """1 - H / log C: 1 where one class has all of the probability, 0 where all classes have the same."""
    return (1 - torch.special.entr(logits.softmax(1)).sum(1) / math.log(logits.shape[1])).clamp(0, 1)


def agreement(logits: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """The smaller of two exits' probabilities of the answer that both give; 0 where they differ, and at the first exit."""
    if before is None:
        return logits.new_zeros(logits.shape[0])
    sure, answer = logits.softmax(1).max(1)
    sure_before, answer_before = before.softmax(1).max(1)
    return torch.minimum(sure, sure_before).where(answer == answer_before, 0)


def sigmoid(logits: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """The largest sigmoid(logit): Associated Learning's own rule, not normalised over classes.
    Outputs that are bounded already, as released, it takes as they are, undivided by temperatures (`confidence`)."""
    return logits.amax(1).sigmoid()


CONFIDENCES: Table[torch.Tensor] = Table(
    "confidence rule",
    {"max_softmax": max_softmax, "margin": margin, "entropy": entropy, "agreement": agreement, "sigmoid": sigmoid},
    makes=torch.Tensor,
)


def confidence(
    rule: ConfidenceRule, logits: torch.Tensor, before: torch.Tensor | None, bounded: torch.Tensor | None
) -> torch.Tensor:
    """What `rule` says; `bounded` are outputs in [-1, 1] that the logits were before a temperature divided them, None for true
    logits. Of those the rule `sigmoid` is their largest, 0 at least: another sigmoid would lie in 0.27..0.73."""
    if bounded is not None and rule is sigmoid:
        return bounded.amax(1).clamp(min=0)
    sure = rule(logits, before)
    if not isinstance(sure, torch.Tensor) or sure.shape != logits.shape[:1]:
        came = list(sure.shape) if isinstance(sure, torch.Tensor) else type(sure).__name__
        raise UserError(
            f"a confidence rule gives one number a sample, a tensor of shape {list(logits.shape[:1])}, got "
            f"{came} of {getattr(rule, '__name__', rule)}"
        )
    return sure


def largest(rule: ConfidenceRule, num_classes: int, limits: tuple[float, float] | None, temperatures: Sequence[float]) -> float:
    """The largest confidence that exits of these temperatures, one after the other, can have: 1 for true logits, less where
    outputs lie within `limits`; 0 for a rule that compares two exits where there is one."""
    low, high = limits or (-_ENOUGH, _ENOUGH)
    largest_of = torch.ones(num_classes if limits else 1, num_classes).tril().bool()  # 1, 2, ... of them: entropy may want many
    surest = torch.where(largest_of, high, low).double()
    found, before = 0.0, None
    for temperature in temperatures:
        logits = surest / temperature
        found = max(found, float(confidence(rule, logits, before, None if limits is None else surest).max()))
        before = logits
    return found
