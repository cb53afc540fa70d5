"""MAN: a head sees the block's output through a slow copy of what comes next (Su et al. 2024)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import nn

from methods.method import Carry, Method
from spaces.activation import Activation, combined
from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.layers.layers import Draw
from spaces.memory.in_place import is_kept_apart, keep_apart
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError

Start = Literal["next", "random"]


class MAN(Method):
    """A momentum auxiliary network around another method (Su et al. 2024): heads are given LB(h) + EMA(h).

    LB, the learnable bias, and EMA are copies of the next block's first unit. The local loss trains LB; no loss trains
    EMA: before each use in training theta_EMA <- momentum theta_EMA + (1 - momentum) theta_next. BatchNorm in both
    normalises by its own batches and has running statistics of its own, as released; only parameters are averaged.

    base      the method that learns, with its settings: dgl, infopro(...), ...
    start     `next`: LB and EMA begin as the next block; `random`: each with weights of its own, as in the released code
    bias      without it heads are given EMA(h) alone, the paper's ablation
    scale     s LB(h) + (2 - s) EMA(h), s learnt from 1 on (MAN++, Su et al. 2026)

    Stage k reads the weights that block k + 1 has before its own update of the same iteration. Deviation: the released
    code moves EMA after its use, so it is one iteration behind.
    """

    default_head = "2c2f"
    head_lookahead = 1

    def __init__(self, net: DecoupledNet, *, base: str = "dgl", momentum: float = 0.995, start: Start = "next",
                 bias: bool = True, scale: bool = False) -> None:
        if not 0 <= momentum <= 1:
            raise UserError(f"momentum is the share of the old average that stays, in [0, 1], but {momentum} came; "
                            "the paper has 0.995")
        if scale and not bias:
            raise UserError("scale weighs the learnable bias, but bias=False came; leave one of them out")
        nn.Module.__init__(self)
        kind, of_base = _base(base)
        self.base = kind(net, **of_base)
        for name, shared in (("net", net), ("lookaheads", self.base.lookaheads)):
            object.__setattr__(self, name, shared)  # their tensors are registered once, as the base's
        self.label_smoothing, self.momentum = self.base.label_smoothing, momentum
        self.answer_range = self.base.answer_range
        for k in range(self.num_stages - 1):
            self.lookaheads[k] = Lookahead(_next_unit(net, k), start, bias=bias, scale=scale, draw=net.draw)
            if is_kept_apart(net.blocks[k + 1]):  # whose first unit LB and EMA copy, and h is the next block's too
                for unit in self.lookaheads[k].children():
                    keep_apart(unit)

    @classmethod
    def adapt(cls, decoupling: Decoupling, *, base: str = "dgl", **settings: Any) -> Decoupling:
        """What the base trains."""
        kind, of_base = _base(base)
        return kind.adapt(decoupling, **of_base)

    @classmethod
    def answers_early(cls, *, base: str = "dgl", **settings: Any) -> bool:
        """As the base."""
        kind, of_base = _base(base)
        return kind.answers_early(**of_base)

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """The base's stage, whose head looks through LB and EMA."""
        if k < self.num_stages - 1 and self.lookaheads[k].training:
            self.lookaheads[k].follow(_next_unit(self.net, k), self.momentum)  # type: ignore[operator]
        return self.base.stage(k, carry, y)

    def reads(self, k: int) -> tuple[int, ...]:
        """Stage k + 1, which EMA follows, and what the base reads."""
        return tuple(sorted({*self.base.reads(k), *range(k + 1, min(k + 2, self.num_stages))}))

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        """The base's."""
        return self.base.start(x, y)

    def run_block(self, k: int, carry: Carry) -> Carry:
        """The base's; LB and EMA do not run."""
        return self.base.run_block(k, carry)

    def activation(self, carry: Carry) -> Activation:
        """The base's."""
        return self.base.activation(carry)

    def replaced(self, carry: Carry, h: Activation) -> Carry:
        """The base's."""
        return self.base.replaced(carry, h)

    def head_input(self, k: int, carry: Carry) -> Activation:
        """LB(h) + EMA(h); the last block's h itself."""
        return self.base.head_input(k, carry)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The base's; LB and EMA do not run."""
        return self.base.forward(x)

    def exits(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """The base's, of heads that look through LB and EMA."""
        return self.base.exits(x)

    def inference_modules(self, k: int) -> list[nn.Module]:
        """The base's."""
        return self.base.inference_modules(k)

    def stage_modules(self, k: int) -> list[nn.Module]:
        """The base's, LB and EMA among them."""
        return self.base.stage_modules(k)


class Lookahead(nn.Module):
    """h -> LB(h) + EMA(h), or s LB(h) + (2 - s) EMA(h), or EMA(h), all of the shape that `unit` makes of h."""

    def __init__(self, unit: nn.Module, start: Start, *, bias: bool, scale: bool, draw: Draw) -> None:
        super().__init__()
        self.average = _copy(unit, start, draw).requires_grad_(False)
        self.bias = _copy(unit, start, draw) if bias else None
        self.scale = nn.Parameter(torch.ones(())) if scale else None

    def forward(self, h: Activation) -> Activation:
        """What the next unit is given -> of the shape that it makes."""
        average = self.average(h)
        if self.bias is None:
            return average
        scale = self.scale
        if scale is None:
            return combined(torch.add, self.bias(h), average)
        return combined(lambda bias, slow: scale * bias + (2 - scale) * slow, self.bias(h), average)

    @torch.no_grad()
    def follow(self, unit: nn.Module, momentum: float) -> None:
        """Move EMA's parameters towards the unit's."""
        for own, following in zip(self.average.parameters(), unit.parameters(), strict=True):
            own.lerp_(following, 1 - momentum)


def _copy(unit: nn.Module, start: Start, draw: Draw) -> nn.Module:
    unit = copy.deepcopy(unit)
    return draw(unit) if start == "random" else unit


def _next_unit(net: DecoupledNet, k: int) -> nn.Module:
    """The first unit of block k + 1."""
    return net.blocks[k + 1][0]  # type: ignore[index]


def _base(spec: str) -> tuple[type[Method], dict[str, Any]]:
    """The method that learns, and its settings; one without heads, or MAN itself, is a UserError."""
    from methods.table import METHODS, method_class  # the table holds this method too

    kind = method_class(spec)
    settings = dict(METHODS.resolve(spec).settings)
    if kind.default_head in (None, NO_HEAD) or issubclass(kind, MAN) or kind.learns_jointly(**settings):
        raise UserError("man changes what the heads of blocks that learn apart are given, so its base is a method with "
                        f"such heads other than man, but {spec} came; try man(base=dgl)")
    return kind, settings
