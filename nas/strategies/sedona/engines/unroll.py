"""The reference: automatic differentiation through all T steps at once. The only file of the framework that imports higher."""

from __future__ import annotations

import higher

from nas.strategies.sedona.bilevel import Bilevel, HyperGradient
from nas.strategies.sedona.second_order import twice_differentiable
from spaces.memory.in_place import is_kept_apart, keep_apart


def unroll(problem: Bilevel) -> HyperGradient:
    """Exact. Keeps the graphs of all steps, so memory grows by a whole graph a step.

    All is done on a functional copy. A unit that checkpoints itself computes again with its own weights and not with the
    copy's, which nothing notices: its gradient is wrong here, and right in the other engines.
    """
    inner_losses = []
    with (
        twice_differentiable(problem.relaxation),
        higher.innerloop_ctx(problem.relaxation, problem.optimizer) as (functional, steps),
    ):
        for own, copied in zip(problem.relaxation.modules(), functional.modules(), strict=True):
            if is_kept_apart(own):  # which higher leaves out, as all hooks
                keep_apart(copied)
        for batch in problem.steps:
            loss = problem.inner_loss(batch, run=functional)
            steps.step(loss)
            inner_losses.append(loss.detach())
        outer_loss, to_leaves = problem.outer_gradient(problem.leaves, run=functional)
    return problem.hypergradient(to_leaves, outer_loss, inner_losses)
