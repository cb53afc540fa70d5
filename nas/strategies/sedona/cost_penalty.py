"""What the largest block is expected to cost, as a part of the outer loss."""

from __future__ import annotations

from functools import cached_property

import torch

from nas.problem import Problem
from nas.strategies.sedona.block_cost import block_memory, block_seconds, block_time
from nas.strategies.sedona.expected_cost import Cost, ExpectedLargest
from nas.strategies.sedona.relaxation import Architecture
from nas.strategies.sedona.settings import Settings


class CostPenalty:
    """memory_weight E[largest block's activation bytes] + time_weight E[largest block's seconds], each over the uncut
    network's. Seconds are measured once; a search that goes on takes them from its checkpoint (`seconds`)."""

    def __init__(self, settings: Settings, problem: Problem) -> None:
        self.settings, self.problem = settings, problem
        self.seconds: dict[str, list[float]] = {}

    def measure(self) -> None:
        """Measure the seconds, if they matter."""
        if self.settings.time_weight:
            self.seconds = block_seconds(self.problem.space, self.problem.settings.batch_size, self.problem.device)

    def __call__(self, architecture: Architecture) -> tuple[float, torch.Tensor, torch.Tensor]:
        """The penalty, and its gradients with respect to alpha and beta."""
        leaves = Architecture(*(t.detach().clone().requires_grad_() for t in (architecture.alpha, architecture.beta)))
        if not self._terms:
            return 0.0, torch.zeros_like(leaves.alpha), torch.zeros_like(leaves.beta)
        penalty = torch.stack([weight * expected(leaves) for weight, expected in self._terms]).sum()
        alpha_grad, beta_grad = torch.autograd.grad(penalty, (leaves.alpha, leaves.beta))
        return penalty.item(), alpha_grad, beta_grad

    @cached_property
    def _terms(self) -> list[tuple[float, ExpectedLargest]]:
        """Each cost that has a weight: the weight for one unit of it, and its expectation."""
        space, costs = self.problem.space, list[tuple[float, Cost]]()
        if self.settings.memory_weight:
            checkpoint_units = self.problem.settings.checkpoint_units
            costs.append((self.settings.memory_weight, block_memory(space, checkpoint_units=checkpoint_units)))
        if self.settings.time_weight:
            costs.append((self.settings.time_weight, block_time(space, self.seconds)))
        return [(weight / cost(0, space.num_units, None), ExpectedLargest(space, cost)) for weight, cost in costs]
