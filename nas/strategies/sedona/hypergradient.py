"""The derivative of the outer loss through T steps of inner training: SEDONA's meta-gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import higher
import torch

from nas.strategies.sedona.relaxation import Architecture, Relaxation

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class HyperGradient:
    """alpha_grad (G, 2) and beta_grad (G, H); outer_loss, the scalar they are derivatives of; and the training loss
    before each of the differentiated steps, inner_losses."""

    alpha_grad: torch.Tensor
    beta_grad: torch.Tensor
    outer_loss: torch.Tensor
    inner_losses: tuple[torch.Tensor, ...]


def hypergradient(relaxation: Relaxation, optimizer: torch.optim.SGD, architecture: Architecture,
                  inner_batches: Sequence[Batch], outer_batch: Batch, *,
                  objective: Literal["validation", "train"]) -> HyperGradient:
    """The exact gradient with respect to alpha and beta, through the unrolled SGD steps of all T inner batches.

    validation  of `outer_loss` on the outer batch at theta_T: the paper's objective
    train       of `nested_loss` on the last inner batch at theta_(T-1), reached by T - 1 steps of the released rule: what
                the released code differentiates; the outer batch is not read

    Steps, learning rate, weight decay and momentum are the optimizer's, momentum buffers included. All is done on a
    functional copy: weights, BatchNorm statistics, optimizer and `.grad` stay as they were. Memory grows with T.
    """
    leaves = Architecture(*(t.detach().clone().requires_grad_() for t in (architecture.alpha, architecture.beta)))
    paper = objective == "validation"
    inner_loss = Relaxation.inner_loss if paper else Relaxation.released_inner_loss
    inner_losses = []
    with higher.innerloop_ctx(relaxation, optimizer) as (functional, steps):
        for x, y in inner_batches if paper else inner_batches[:-1]:
            loss = functional(inner_loss, x, y, leaves)
            steps.step(loss)
            inner_losses.append(loss.detach())
        if paper:
            outer_loss = functional(Relaxation.outer_loss, *outer_batch)
        else:
            outer_loss = functional(Relaxation.nested_loss, *inner_batches[-1], leaves)
    alpha_grad, beta_grad = torch.autograd.grad(outer_loss, (leaves.alpha, leaves.beta))
    return HyperGradient(alpha_grad, beta_grad, outer_loss.detach(), tuple(inner_losses))
