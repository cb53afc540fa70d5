"""How sure an exit is of its answer: the rules by which adaptive inference lets a sample leave."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from spaces.component import Table

ConfidenceRule = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Logits (N, C) of an exit, and of the one before for the same samples (None at the first) -> (N,) in [0, 1], high where sure."""


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
        return logits.new_zeros(len(logits))
    sure, answer = logits.softmax(1).max(1)
    sure_before, answer_before = before.softmax(1).max(1)
    return torch.minimum(sure, sure_before).where(answer == answer_before, 0)


def sigmoid(logits: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """The largest sigmoid(logit): Associated Learning's own rule, not normalised over classes (associated_learning.md 1.3)."""
    return logits.amax(1).sigmoid()


CONFIDENCES: Table[torch.Tensor] = Table("confidence rule", {
    "max_softmax": max_softmax, "margin": margin, "entropy": entropy, "agreement": agreement, "sigmoid": sigmoid,
}, makes=torch.Tensor)
