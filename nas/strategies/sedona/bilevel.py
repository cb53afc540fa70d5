"""The bilevel problem of one meta-step: T steps of inner training that depend on alpha and beta, then the outer loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch

from methods.training.scoring import autocast
from methods.training.settings import Precision
from nas.strategies.sedona.relaxation import Architecture, Gradients, Relaxation, Weights, outer_mode, released_scales
from nas.strategies.sedona.sampling import Sampling
from spaces.notation.errors import UserError

Batch = tuple[torch.Tensor, torch.Tensor]
Objective = Literal["validation", "train"]
Tensors = list[torch.Tensor]
Run = Callable[..., torch.Tensor]  # calls a loss of the relaxation, as `Relaxation.forward` does


@dataclass(frozen=True)
class HyperGradient:
    """alpha_grad (G, 2) and beta_grad (G, H); outer_loss, the scalar they are derivatives of; and the training loss
    before each of the differentiated steps, inner_losses."""

    alpha_grad: torch.Tensor
    beta_grad: torch.Tensor
    outer_loss: torch.Tensor
    inner_losses: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Bilevel:
    """What an engine differentiates, with respect to `leaves`: how much each gap is cut, and its mixture of heads.

    validation  `outer_loss` on the outer batch at theta_T, reached by T steps of `inner_loss`: the paper's objective
    train       `nested_loss` on the last inner batch at theta_(T-1), reached by T - 1 steps of `released_inner_loss`: what
                the released code differentiates; the outer batch is not read

    Steps, learning rate, weight decay and momentum are the optimizer's, momentum buffers included; a UserError where it does
    more. Forward passes are under autocast where the precision is lower. With `sampling`, `adjoint` and `identity` go back
    through a step by some gaps and heads only; the steps themselves are taken with all of them. An engine leaves weights,
    BatchNorm statistics, optimizer and `.grad` as they were; where the random generators are after it is its own matter.
    """

    relaxation: Relaxation
    optimizer: torch.optim.SGD
    architecture: Architecture
    inner_batches: Sequence[Batch]
    outer_batch: Batch
    objective: Objective = "validation"
    precision: Precision = "fp32"
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        if any(group[more] for group in self.optimizer.param_groups for more in ("nesterov", "dampening", "maximize")):
            raise UserError("the inner steps are plain SGD with momentum; leave out nesterov, dampening and maximize")

    @cached_property
    def _own(self) -> Architecture:
        """A copy of the architecture that requires gradients."""
        alpha, beta = (t.detach().clone().requires_grad_() for t in (self.architecture.alpha, self.architecture.beta))
        return replace(self.architecture, alpha=alpha, beta=beta)

    @cached_property
    def weights(self) -> Weights:
        """The architecture's shares and mixture, as leaves."""
        return Weights(*(t.detach().clone().requires_grad_() for t in (self._own.shares, self._own.mixture)))

    @property
    def leaves(self) -> Tensors:
        """Shares (G, 2) and mixture (G, H)."""
        return [self.weights.shares, self.weights.mixture]

    def hypergradient(
        self, to_leaves: Sequence[torch.Tensor], outer_loss: torch.Tensor, inner_losses: Sequence[torch.Tensor]
    ) -> HyperGradient:
        """The result, from the derivatives with respect to the leaves."""
        alpha_grad, beta_grad = torch.autograd.grad(
            [self._own.shares, self._own.mixture], [self._own.alpha, self._own.beta], list(to_leaves)
        )
        return HyperGradient(alpha_grad, beta_grad, outer_loss.detach(), tuple(inner_losses))

    @property
    def steps(self) -> Sequence[Batch]:
        """The batches of the differentiated inner steps."""
        return self.inner_batches if self.objective == "validation" else self.inner_batches[:-1]

    @property
    def scales(self) -> torch.Tensor | None:
        """The output scales (G,) of the inner rule; None where it has none."""
        return None if self.objective == "validation" else released_scales(self.weights)

    def inner_loss(
        self, batch: Batch, *, run: Run | None = None, gradients: Gradients | None = None, known: Tensors | None = None
    ) -> torch.Tensor:
        """The scalar whose first gradient is the inner update, of the relaxation or of a functional copy, `run`;
        `gradients` and `known` as in `Relaxation.inner_loss`."""
        rule = Relaxation.inner_loss if self.objective == "validation" else Relaxation.released_inner_loss
        with autocast(batch[1].device, self.precision):
            return (run or self.relaxation)(rule, *batch, self.weights, gradients, known)

    def differentiated_loss(self, batch: Batch, known: Tensors) -> torch.Tensor:
        """`inner_loss` once more, to be derived twice, or an estimate of it by a new sample."""
        if self.sampling is None:
            return self.inner_loss(batch)
        with autocast(batch[1].device, self.precision):
            sample = self.sampling.draw()
            return self.relaxation(Relaxation.sampled_loss, *batch, self.weights, self.scales, sample, known)

    def outer_gradient(self, inputs: Tensors, *, run: Run | None = None) -> tuple[torch.Tensor, Tensors]:
        """The outer loss, at the weights of the relaxation or of a functional copy, `run`, and its derivatives."""
        run, validation = run or self.relaxation, self.objective == "validation"
        # A unit that checkpoints itself runs once more in the backward pass, which must find the mode of the first.
        with outer_mode(self.relaxation) if validation else nullcontext():
            with autocast(self.outer_batch[1].device, self.precision):
                loss = (
                    run(Relaxation.outer_loss, *self.outer_batch)
                    if validation
                    else run(Relaxation.nested_loss, *self.inner_batches[-1], self.weights)
                )
            return loss.detach(), list(torch.autograd.grad(loss, inputs, materialize_grads=True, allow_unused=True))
