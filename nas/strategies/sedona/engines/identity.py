"""An approximate hypergradient without second derivatives: the adjoint recursion with the Hessian left out."""

from __future__ import annotations

from itertools import count

import torch
from torch.autograd import forward_ad
from torch.func import functional_call

from methods.training.scoring import autocast
from nas.strategies.sedona.bilevel import Bilevel, HyperGradient, Tensors
from nas.strategies.sedona.inner_training import InnerTraining, Moment
from nas.strategies.sedona.relaxation import Relaxation
from nas.strategies.sedona.second_order import SecondOrder, twice_differentiable
from spaces.activation import Activation, combined


def identity(problem: Bilevel) -> HyperGradient:
    """Exact at T = 1; after that it misses what a change of the weights in one step does to the gradients of later steps.

    The mixed derivative that is left, (dG/d(alpha, beta))^T V, is the derivative of <G, V>. That is how fast the inner loss
    changes along V where gap j lets a_j1 of the change through, so one forward-mode pass along V gives it for all of
    alpha and beta (`_mixed`). Keeps the weights of each step, and the gradients at the gaps. torch has no forward mode for
    weight_norm and spectral_norm, nor on a GPU for LSTM and GRU: these need another engine.
    """
    training = InnerTraining(problem.relaxation, problem.optimizer)
    names = {parameter: name for name, parameter in problem.relaxation.named_parameters()}
    with training.borrowed(), twice_differentiable(problem.relaxation):
        moments = training.descend(problem, keep_gradients=True)
        outer_loss, found = problem.outer_gradient([*training.parameters, *problem.leaves])
        count = len(training.parameters)
        to_weights, to_leaves = found[:count], found[count:]
        for moment, to_velocity in training.ascend(moments, to_weights):
            direction = {names[p]: v for p, v in zip(training.parameters, to_velocity, strict=True)}
            torch._foreach_add_(to_leaves, _mixed(problem, moment, direction))
    return problem.hypergradient(to_leaves, outer_loss, [moment.inner_loss for moment in moments])


def _mixed(problem: Bilevel, moment: Moment, direction: dict[str, torch.Tensor]) -> Tensors:
    """The derivatives of <G, V> with respect to alpha and beta, V = `direction`.

    A tangent that meets gap j is scaled by a_j1 there, so the derivative for a_j1 is the product of that tangent and of the
    gradient from above; for the rest it is found at the logits.
    """
    relaxation, (x, y), shares = problem.relaxation, moment.batch, problem.weights.shares
    sample = None if problem.sampling is None else problem.sampling.draw()
    crossing: dict[tuple[int, int], torch.Tensor] = {}
    from_above = moment.gradients or {}

    def gate(j: int, h: Activation) -> Activation:
        place = count()

        def cross(part: torch.Tensor) -> torch.Tensor:
            at = j, next(place)
            primal, tangent = forward_ad.unpack_dual(part)
            if tangent is None or at not in from_above:  # nothing below learns, or nothing above reads it
                return part
            crossing[at] = (from_above[at] * tangent).sum()
            return forward_ad.make_dual(primal, tangent * shares[j, 1].detach())

        return combined(cross, h)

    lower = autocast(y.device, problem.precision)
    with torch.no_grad(), SecondOrder(), forward_ad.dual_level(), lower:
        moved = {
            name: forward_ad.make_dual(p.detach(), direction[name])
            for name, p in relaxation.named_parameters()
            if name in direction
        }
        chosen = None if sample is None else sample.heads
        candidates, _ = functional_call(relaxation, moved, (Relaxation.logits, x, gate, problem.scales, chosen))
        tangents = [forward_ad.unpack_dual(logits).tangent for logits in candidates]
    total = shares.new_zeros(())
    for j, tangent in enumerate(tangents):
        weights = problem.weights.mixture[j]
        if sample is None:
            along = tangent.to(weights.dtype) @ weights
        elif sample.heads[j]:
            along = sample.of_gap * sample.of_head * (tangent.to(weights.dtype) @ weights[list(sample.heads[j])])
        else:
            continue
        total = total + shares[j, 0] * _derivative(relaxation, moment.known[j], along, y, weights)
    total = total + sum(shares[j, 1] * product for (j, _), product in crossing.items())
    return list(torch.autograd.grad(total, problem.leaves))


def _derivative(
    relaxation: Relaxation, logits: torch.Tensor, tangent: torch.Tensor, y: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """d/d eps of the loss of `logits @ weights + eps tangent`, logits (N, classes, H), as a function of `weights` (H,), of which
    the tangent (N, classes) is one too."""
    mixed = logits @ weights
    (gradient,) = torch.autograd.grad(relaxation.cross_entropy(mixed, y), mixed, create_graph=True)
    return (gradient * tangent).sum()
