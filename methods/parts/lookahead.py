"""What MAN puts between a block and its head: two copies of the next block's first unit (Su et al. 2024)."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import nn

from spaces.activation import Activation, combined
from spaces.layers.fresh_copy import fresh_copy
from spaces.layers.layers import Draw

Start = Literal["next", "random"]


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
    return draw(fresh_copy(unit)) if start == "random" else copy.deepcopy(unit)
