"""MAN: a head sees the block's output through a slow copy of what comes next (Su et al. 2024)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from methods.method import Carry, Method, traits_of
from methods.parts.lookahead import Lookahead, Start
from methods.traits import Traits
from methods.wrapped import WrappedMethod
from spaces.heads import NO_HEAD
from spaces.memory.in_place import is_kept_apart, keep_apart
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError
from spaces.notation.nested import Nested

DGL = Nested[Method]("dgl")


class MAN(WrappedMethod):
    """A momentum auxiliary network around another method (Su et al. 2024): heads are given LB(h) + EMA(h).

    LB, the learnable bias, and EMA are copies of the next block's first unit. The local loss trains LB; no loss trains
    EMA: before each use in training theta_EMA <- momentum theta_EMA + (1 - momentum) theta_next. BatchNorm in both
    normalises by its own batches and has running statistics of its own, as released; only parameters are averaged.

    base      the method that learns, with its settings: dgl, infopro(...), ...
    momentum  the share of EMA's weights that each step keeps
    start     `next`: LB and EMA begin as the next block; `random`: each with weights of its own, as in the released code
    bias      without it heads are given EMA(h) alone, the paper's ablation
    scale     s LB(h) + (2 - s) EMA(h), s learnt from 1 on (MAN++, Su et al. 2026)

    Stage k reads the weights that block k + 1 has before its own update of the same iteration. Deviation: the released
    code moves EMA after its use, so it is one iteration behind.
    """

    def __init__(
        self,
        net: DecoupledNet,
        *,
        base: Nested[Method] = DGL,
        momentum: float = 0.995,
        start: Start = "next",
        bias: bool = True,
        scale: bool = False,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise UserError(
                f"momentum is the share of the old average that stays, in [0, 1], got {momentum}; the paper has 0.995"
            )
        if scale and not bias:
            raise UserError("scale weighs the learnable bias, got scale=True and bias=False; leave one of them out")
        _base_traits(base)
        super().__init__(base.build(net))
        self.momentum = momentum
        for k in range(self.num_stages - 1):
            self.lookaheads[k] = Lookahead(_next_unit(net, k), start, bias=bias, scale=scale, draw=net.draw)
            if is_kept_apart(net.blocks[k + 1]):  # whose first unit LB and EMA copy, and h is the next block's too
                for unit in self.lookaheads[k].children():
                    keep_apart(unit)

    @classmethod
    def traits(cls, *, base: Nested[Method] | None = None, **settings: Any) -> Traits:
        """Those of the base, but that a head is made for what the unit behind its cut makes."""
        return replace(_base_traits(base or DGL), default_head="2c2f", head_lookahead=1)

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """The base's stage, whose head looks through LB and EMA."""
        if k < self.num_stages - 1 and self.lookaheads[k].training:
            self.lookaheads[k].follow(_next_unit(self.net, k), self.momentum)  # type: ignore[operator]
        return super().stage(k, carry, y)

    def reads(self, k: int) -> tuple[int, ...]:
        """Stage k + 1, which EMA follows, and what the base reads."""
        return tuple(sorted({*super().reads(k), *range(k + 1, min(k + 2, self.num_stages))}))


def _next_unit(net: DecoupledNet, k: int) -> nn.Module:
    """The first unit of block k + 1."""
    return net.blocks[k + 1][0]  # type: ignore[index]


def _base_traits(base: Nested[Method]) -> Traits:
    """Those of the base; one without heads, MAN itself, or one that learns end to end is a UserError."""
    traits = traits_of(base)
    if traits.default_head in (None, NO_HEAD) or traits.head_lookahead or traits.end_to_end:
        raise UserError(
            "man changes what the heads of blocks that learn apart are given, so its base is a method with "
            f"such heads other than man, got {base}; try man(base=dgl)"
        )
    return traits
