"""A decoupling as numbers that mean the same in every network: where it cuts, what its blocks and its heads cost."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import accumulate
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from nas.cost import count, macs_of
from spaces.activation import Activation, numbers
from spaces.decoupling import Decoupling
from spaces.space import SearchSpace

DEPTHS = (0.2, 0.4, 0.6, 0.8)  # shares of the network at which cuts are counted
SMALLEST = 1e-4  # added to a head's share of MACs or parameters, so that what costs nothing has a logarithm too
EXAMPLES = 2  # in the batch of `Backbone.example`


class Features:
    """`features(decoupling)`, a vector of `names`; all are shares of the whole network, so that they transfer to others.

    Costs are of the forward pass, counted on the meta device for each unit and each head once. Heads that a method puts in the
    place of those asked for are not seen: what is asked for tells decouplings apart.
    """

    names = (
        "log_num_blocks",
        "first_cut",  # in units
        "last_cut",
        "first_block_macs",
        "last_block_macs",
        "largest_block_macs",
        "largest_block_params",
        "largest_block_bytes",  # of the units' outputs
        "longest_way_to_loss",  # in units, from a unit to the head that trains it
        "mean_way_to_loss",
        "log_first_head_macs",
        "log_mean_head_macs",
        "log_mean_head_params",
        "head_macs",
        *(f"cuts_below_{depth}" for depth in DEPTHS),
        *(f"log_head_macs_below_{depth}" for depth in DEPTHS),  # their sum
    )

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._known: dict[Decoupling, np.ndarray] = {}
        self._heads: dict[tuple[str, int], tuple[float, float]] = {}

    def __call__(self, decoupling: Decoupling) -> np.ndarray:
        """(len(names),)."""
        if decoupling not in self._known:
            self._known[decoupling] = self._computed(decoupling)
        return self._known[decoupling]

    def of_all(self, decouplings: list[Decoupling]) -> np.ndarray:
        """(N, len(names))."""
        return np.array([self(decoupling) for decoupling in decouplings]).reshape(len(decouplings), len(self.names))

    def training_macs(self, decoupling: Decoupling) -> float:
        """Of all blocks and heads, over those of the network alone."""
        return 1 + sum(self._head(head, cut)[0] for cut, head in zip(decoupling.cuts, decoupling.heads, strict=True))

    def stage_shares(self, decoupling: Decoupling) -> list[float]:
        """Of these MACs, those of each block with its head; they sum to 1."""
        costs, blocks = self._costs, decoupling.blocks(self.space.num_units)
        heads = [self._head(head, cut)[0] for cut, head in zip(decoupling.cuts, decoupling.heads, strict=True)]
        of_units = costs.units_macs / costs.whole_macs
        macs = [of_units * (costs.macs[block.stop] - costs.macs[block.start]) for block in blocks]
        whole = [own + head for own, head in zip(macs, (*heads, 1 - of_units), strict=True)]
        return [share / sum(whole) for share in whole]

    def _computed(self, decoupling: Decoupling) -> np.ndarray:
        units = self.space.num_units
        blocks = decoupling.blocks(units)
        macs, params, outputs = (
            [table[block.stop] - table[block.start] for block in blocks]
            for table in (self._costs.macs, self._costs.params, self._costs.outputs)
        )
        heads = [self._head(head, cut) for cut, head in zip(decoupling.cuts, decoupling.heads, strict=True)]
        head_macs, head_params = [macs for macs, _ in heads], [params for _, params in heads]
        ways = [block.stop - 1 - unit for block in blocks for unit in block]
        first, last = (decoupling.cuts[0], decoupling.cuts[-1]) if decoupling.cuts else (units, 0)
        return np.array(
            [
                math.log(decoupling.num_blocks),
                first / units,
                last / units,
                macs[0],
                macs[-1],
                max(macs),
                max(params),
                max(outputs),
                max(ways) / units,
                fmean(ways) / units,
                _log(head_macs[0] if heads else 0.0),
                fmean(map(_log, head_macs or [0.0])),
                fmean(map(_log, head_params or [0.0])),
                sum(head_macs),
                *(sum(cut <= depth * units for cut in decoupling.cuts) / units for depth in DEPTHS),
                *(
                    sum(
                        _log(macs) - _log(0.0)
                        for macs, cut in zip(head_macs, decoupling.cuts, strict=True)
                        if cut <= depth * units
                    )
                    for depth in DEPTHS
                ),
            ]
        )

    @cached_property
    def _costs(self) -> _Costs:
        """Of the units, as sums over the first 0, 1, ... L, and of heads in the same measure."""
        template = self.space.template
        examples = [template.example(gap) for gap in range(self.space.num_units)]
        macs = [_macs(unit, given) for unit, given in zip(template.units, examples, strict=True)]
        outputs = [_size(template.example(gap)) for gap in range(1, self.space.num_units + 1)]
        params = [count([unit]) for unit in template.units]
        whole_macs = sum(macs) + _macs(template.classifier, template.example(self.space.num_units))
        whole_params = sum(params) + count([template.classifier])
        return _Costs(_shares(macs), _shares(params), _shares(outputs), sum(macs), max(1, whole_macs), max(1, whole_params))

    def _head(self, head: str, gap: int) -> tuple[float, float]:
        """MACs and parameters of a head, as shares of the network's."""
        if (head, gap) not in self._heads:
            with torch.device("meta"):
                module = self.space.head(head, self.space.site(gap))
                macs = _macs(module, self.space.template.example(gap))
            self._heads[head, gap] = (macs / self._costs.whole_macs, count([module]) / self._costs.whole_params)
        return self._heads[head, gap]


class _Costs(NamedTuple):
    macs: list[float]
    params: list[float]
    outputs: list[float]
    units_macs: int
    whole_macs: int
    whole_params: int


def _shares(column: list[int]) -> list[float]:
    """Of the total, of the first 0, 1, ... all."""
    total = max(1, sum(column))
    return [part / total for part in accumulate(column, initial=0)]


def _macs(module: nn.Module, given: Activation) -> int:
    with torch.device("meta"):
        return macs_of(EXAMPLES, module, given)[0]


def _size(activation: Activation) -> int:
    return sum(part.numel() for part in numbers(activation))


def _log(share: float) -> float:
    return math.log10(SMALLEST + share)
