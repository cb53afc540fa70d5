"""The exact hypergradient in the memory of one step: the recursion of reverse-mode differentiation, written out."""

from __future__ import annotations

import torch

from nas.strategies.sedona.bilevel import Bilevel, HyperGradient
from nas.strategies.sedona.inner_training import InnerTraining
from nas.strategies.sedona.second_order import SecondOrder, twice_differentiable


def adjoint(problem: Bilevel) -> HyperGradient:
    """Exact. Plain SGD forward, of which only the weights before each step are kept; then, from the last step to the first,
    each step is computed again and its gradient differentiated (`InnerTraining.ascend`)."""
    training = InnerTraining(problem.relaxation, problem.optimizer)
    inputs, count = [*training.parameters, *problem.leaves], len(training.parameters)
    with training.borrowed(), twice_differentiable(problem.relaxation):
        moments = training.descend(problem)
        outer_loss, found = problem.outer_gradient(inputs)
        to_weights, to_leaves = found[:count], found[count:]
        for moment, to_velocity in training.ascend(moments, to_weights):
            with SecondOrder():
                gradients = torch.autograd.grad(
                    problem.differentiated_loss(moment.batch, moment.known),
                    training.parameters,
                    create_graph=True,
                    materialize_grads=True,
                    allow_unused=True,
                )
                used = [k for k, gradient in enumerate(gradients) if gradient.requires_grad]
                products = torch.autograd.grad(
                    [gradients[k] for k in used],
                    inputs,
                    [to_velocity[k] for k in used],
                    materialize_grads=True,
                    allow_unused=True,
                )
            del gradients
            torch._foreach_add_(to_weights, products[:count])
            torch._foreach_add_(to_leaves, products[count:])
    return problem.hypergradient(to_leaves, outer_loss, [moment.inner_loss for moment in moments])
