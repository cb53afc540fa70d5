"""Plain SGD steps on borrowed weights, which are given back: what the adjoint engines share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from nas.strategies.sedona.bilevel import Batch, Bilevel, Tensors
from nas.strategies.sedona.relaxation import Gradients
from spaces.network import frozen_statistics


@dataclass(frozen=True)
class Moment:
    """The state before a step: its batch, the weights, and the state of the random generators; then the step's training
    loss, what came from above at each gap, if it was asked for, and the candidates' logits (see `Relaxation.inner_loss`)."""

    batch: Batch
    weights: Tensors
    random: Tensors
    inner_loss: torch.Tensor
    gradients: Gradients | None
    known: Tensors


class InnerTraining:
    """The relaxation's weights under SGD with momentum and weight decay:  v' = mu v + (g + wd w),  w' = w - lr v'."""

    def __init__(self, module: nn.Module, optimizer: torch.optim.SGD) -> None:
        self.module = module
        self.parameters: list[nn.Parameter] = []
        self._groups: list[tuple[slice, float, float, float]] = []  # where, lr, mu, wd
        for group in optimizer.param_groups:
            begin = len(self.parameters)
            self.parameters += [p for p in group["params"] if p.requires_grad]
            self._groups.append((slice(begin, len(self.parameters)), group["lr"], group["momentum"], group["weight_decay"]))
        self._velocity = [optimizer.state.get(p, {}).get("momentum_buffer") for p in self.parameters]

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Inside, weights and buffers may change; at the end they are what they were."""
        own = [p.data for p in self.parameters]
        self.velocity = [torch.zeros_like(p) if v is None else v for p, v in zip(own, self._velocity, strict=True)]
        try:
            with frozen_statistics(self.module):
                yield
        finally:
            self.load(own)
            del self.velocity

    def descend(self, problem: Bilevel, *, keep_gradients: bool = False) -> list[Moment]:
        """Take the steps of the problem. Weights are kept as they are, since a step makes new ones."""
        moments = []
        for batch in problem.steps:
            weights, random = [p.data for p in self.parameters], _random_state(batch[1].device)
            gradients: Gradients | None = {} if keep_gradients else None
            known: Tensors = []
            loss = problem.inner_loss(batch, gradients=gradients, known=known)
            self.step(torch.autograd.grad(loss, self.parameters, materialize_grads=True, allow_unused=True))
            moments.append(Moment(batch, weights, random, loss.detach(), gradients, known))
        return moments

    def ascend(self, moments: Sequence[Moment], to_weights: Tensors) -> Iterator[tuple[Moment, Tensors]]:
        """From the last step to the first: the moment, restored, and what the step's inner gradient is multiplied by.

        With P = `to_weights` and V the outer loss's derivatives with respect to w' and v':  V <- V - lr P,  P <- P + wd V,
        here the caller adds (dG/dw)^T V to P, in place, then  V <- mu V.
        """
        to_velocity = [torch.zeros_like(gradient) for gradient in to_weights]
        for moment in reversed(moments):
            self.load(moment.weights)
            _restore(moment)
            for where, lr, _, wd in self._groups:
                torch._foreach_add_(to_velocity[where], to_weights[where], alpha=-lr)
                torch._foreach_add_(to_weights[where], to_velocity[where], alpha=wd)
            yield moment, to_velocity
            for where, _, mu, _ in self._groups:
                torch._foreach_mul_(to_velocity[where], mu)

    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step along the gradients, to new tensors."""
        weights = [p.data for p in self.parameters]
        for where, lr, mu, wd in self._groups:
            change = torch._foreach_add(list(gradients[where]), weights[where], alpha=wd)
            torch._foreach_add_(change, self.velocity[where], alpha=mu)
            self.velocity[where] = change
            weights[where] = torch._foreach_add(weights[where], change, alpha=-lr)
        self.load(weights)

    def load(self, weights: Sequence[torch.Tensor]) -> None:
        """Put these tensors in the place of the weights."""
        for p, weight in zip(self.parameters, weights, strict=True):
            p.data = weight


def _random_state(device: torch.device) -> Tensors:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _restore(moment: Moment) -> None:
    """Set the random generators back, so that a step drawn again has the same dropout masks."""
    torch.set_rng_state(moment.random[0])
    if len(moment.random) > 1:
        torch.cuda.set_rng_state(moment.random[1], moment.batch[1].device)
