"""Side inputs: blocks are given a further input beside the activation of the block before (associated_learning.md 1.6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from methods.method import Carry, Method
from spaces.activation import Activation, WithFeatures
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError

Input = torch.Tensor | WithFeatures


@dataclass(frozen=True)
class SideSite:
    """What a side input is built for: a network, and how many numbers stand beside each of its inputs (`WithFeatures`)."""

    net: DecoupledNet
    num_features: int = 0


class SideInput(nn.Module, ABC):
    """What blocks are given beside the activation; `parts[k]` is what of it learns with block k, an Identity where nothing is."""

    takes_features: ClassVar[bool] = False
    """Whether it gives the numbers beside an input to a block; inputs with any are refused otherwise."""

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    @abstractmethod
    def start(self, x: Input) -> torch.Tensor:
        """What block 0 is given of the input x."""

    @abstractmethod
    def join(self, k: int, h: Activation, x: Input) -> Activation:
        """What block k, from 1 on, is given: the activation h of block k - 1, of `net.shapes[k]`, joined with its input out of
        x. Tokens may have become more, all else keeps its shape."""

    @abstractmethod
    def given(self, k: int) -> object:
        """What of an input `join` gives to block k, as plain data that tell it from anything else; None for nothing."""

    def reads(self, k: int) -> tuple[int, ...]:
        """The other stages whose weights `join` reads for block k."""
        return ()


class SideInputs(Method):
    """Another method whose blocks are given side inputs: the base's stages, on joined activations.

    Stage k joins, runs the base's stage and trains both; the full path and all exits join alike (the original's shortcut
    path leaves the side input out, and its new parameters belong to no optimizer). The carry is the base's, and the input
    as a whole. The base's weights keep their names below `base`: `base.load_state_dict` takes those of a run without side
    inputs.
    """

    def __init__(self, base: Method, side: SideInput) -> None:
        if base.num_stages < base.net.num_blocks:
            raise UserError(f"a side input is joined before a stage, but {type(base).__name__} trains all blocks in one; take a "
                            "method that trains block by block, such as dgl")
        nn.Module.__init__(self)
        self.base, self.side = base, side
        for name, shared in (("net", base.net), ("lookaheads", base.lookaheads)):
            object.__setattr__(self, name, shared)  # their tensors are registered once, as the base's
        self.label_smoothing, self.answer_range = base.label_smoothing, base.answer_range

    def start(self, x: Input, y: torch.Tensor | None = None) -> Carry:
        """The base's, of what block 0 is given; and x."""
        return self.base.start(self.side.start(x), y), x

    def run_block(self, k: int, carry: Carry) -> Carry:
        """Join, then the base's."""
        return self.base.run_block(k, self._joined(k, carry)), carry[1]

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """Join, then the base's."""
        following, loss = self.base.stage(k, self._joined(k, carry), y)
        return (following, carry[1]), loss

    def activation(self, carry: Carry) -> Activation:
        """The base's."""
        return self.base.activation(carry[0])

    def replaced(self, carry: Carry, h: Activation) -> Carry:
        """The base's."""
        return self.base.replaced(carry[0], h), carry[1]

    def head_input(self, k: int, carry: Carry) -> Activation:
        """The base's."""
        return self.base.head_input(k, carry[0])

    def answer(self, k: int, carry: Carry) -> torch.Tensor:
        """The base's."""
        return self.base.answer(k, carry[0])

    def inference_modules(self, k: int) -> list[nn.Module]:
        """With what learns of the side input."""
        return [*self.base.inference_modules(k), self.side.parts[k]]

    def stage_modules(self, k: int) -> list[nn.Module]:
        """With what learns of the side input."""
        return [*self.base.stage_modules(k), self.side.parts[k]]

    def reads(self, k: int) -> tuple[int, ...]:
        """What the base and the side input read."""
        return tuple(sorted({*self.base.reads(k), *self.side.reads(k)}))

    def _joined(self, k: int, carry: Carry) -> Carry:
        """The base's carry, with the side input of block k in its activation."""
        of_base, x = carry
        if k == 0:
            return of_base
        return self.base.replaced(of_base, self.side.join(k, self.base.activation(of_base), x))
