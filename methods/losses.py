"""Losses that more than one rule uses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional as F


def smoothed_cross_entropy(logits: torch.Tensor, y: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean cross-entropy of logits (N, C) for labels y (N,) with target 1 - e, and e / (C - 1) for each other class.

    torch spreads e over all C classes; e C / (C - 1) given to it is the papers' form (SmoothCrossEntropyLoss).
    """
    num_classes = logits.shape[-1]
    return F.cross_entropy(logits, y, label_smoothing=smoothing * num_classes / (num_classes - 1))


def supervised_contrast(features: torch.Tensor, y: torch.Tensor, temperature: float) -> torch.Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) of features (N, D), one view, for labels y (N,).

    The mean over samples i of -1/|P_i| sum_{j in P_i} log softmax_{j != i}(cos(z_i, z_j) / temperature), P_i the other
    samples of i's class; the released code multiplies by temperature / 0.07, which is 1 at its own. A sample without
    any is left out, where the released code counts it as a loss of 0; if all are, the loss is 0, gradients included. A
    feature vector of 0 has no direction: its cosines and its gradient are 0. In float32 also under autocast.
    """
    with full_precision(features.device):
        norm = features.float().norm(dim=1, keepdim=True)
        z = features.float() / norm.masked_fill(norm < _NO_DIRECTION, torch.inf)
        itself = torch.eye(len(y), dtype=torch.bool, device=y.device)
        lowest = torch.finfo(torch.float32).min  # not -inf: a batch of one has no other sample
        log_shares = (z @ z.T / temperature).masked_fill(itself, lowest).log_softmax(dim=1)
        positive = (y[:, None] == y) & ~itself
        num_positive = positive.sum(1)
        of_sample = -log_shares.where(positive, 0).sum(1) / num_positive.clamp(min=1)
        return of_sample.sum() / (num_positive > 0).sum().clamp(min=1)


_NO_DIRECTION = 1e-6


def distillation(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """tau^2 KL(softmax(teacher / tau) || softmax(student / tau)) of logits (N, C), the mean over the batch (Hinton et al. 2015).

    Only the student gets a gradient. In float32 also under autocast.
    """
    targets, answers = ((logits.float() / temperature).log_softmax(dim=1) for logits in (teacher.detach(), student))
    return temperature**2 * F.kl_div(answers, targets, reduction="batchmean", log_target=True)


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """What runs inside is not autocast, on any device."""
    has_autocast = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if has_autocast else nullcontext()
