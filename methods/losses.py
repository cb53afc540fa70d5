"""Losses that more than one rule uses."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def smoothed_cross_entropy(logits: torch.Tensor, y: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean cross-entropy of logits (N, C) for labels y (N,) with target 1 - e, and e / (C - 1) for each other class.

    torch spreads e over all C classes; e C / (C - 1) given to it is the papers' form (sedona.md 1, SmoothCrossEntropyLoss).
    """
    num_classes = logits.shape[-1]
    return F.cross_entropy(logits, y, label_smoothing=smoothing * num_classes / (num_classes - 1))
