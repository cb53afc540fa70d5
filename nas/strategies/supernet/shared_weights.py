"""One set of weights for all decouplings of a space: a backbone, and a head for each gap and candidate."""

from __future__ import annotations

import torch
from torch import nn

from methods.method import Method
from methods.table import METHODS
from nas.problem import Problem
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


class SharedWeights:
    """`weights.method(decoupling)` is the problem's method on the network of a decoupling, made of the shared modules.

    Cuts do not change what a backbone computes, so all decouplings share its running statistics too: the forward pass of the
    network is the same for all, and only what each unit learns from differs.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        torch.manual_seed(problem.seed)
        space = problem.space
        self.backbone = space.build_backbone()
        self._heads: dict[tuple[int, str], nn.Module] = {}
        for gap in space.gaps:
            for head in space.heads:
                (adapted,) = problem.adapt(Decoupling((gap,), (head,))).heads
                if (gap, adapted) not in self._heads:
                    self._heads[gap, adapted] = space.head(adapted, space.site(gap, self.backbone))
        self.module = nn.ModuleList([self.backbone, *self._heads.values()])
        self.module.to(device=problem.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._check_shared()

    def method(self, decoupling: Decoupling) -> Method:
        """In training mode."""
        adapted, problem = self.problem.adapt(decoupling), self.problem
        heads = [self._heads[place] for place in zip(adapted.cuts, adapted.heads, strict=True)]
        net = problem.space.assembled(
            adapted, self.backbone, heads, checkpoint_units=problem.settings.checkpoint_units, pixels=problem.data.pixels
        )
        return METHODS.build(problem.method, net).train()

    def _check_shared(self) -> None:
        """Refuse a method with weights beside those of blocks and heads, which nothing would share."""
        space = self.problem.space
        num_cuts = space.block_counts[-1] - 1
        cut = Decoupling(space.cut_sets.unrank(num_cuts, 0), space.heads[:1] * num_cuts)
        shared = {id(parameter) for parameter in self.module.parameters()}
        for name, parameter in self.method(cut).named_parameters():
            if id(parameter) not in shared:
                raise UserError(
                    f"supernet shares the weights of blocks and heads, got {self.problem.method}, which has others ({name}); "
                    "search with dgl, predsim or greedy, or take another strategy"
                )
