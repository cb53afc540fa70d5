"""Side inputs: blocks are given a further input beside the activation of the block before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from methods.method import Carry, Method
from methods.wrapped import WrappedMethod
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


class SideCarry(NamedTuple):
    """The base's carry, its activation h apart from the `rest`, and the input x as a whole."""

    h: Activation
    x: Input
    rest: Carry

    @classmethod
    def of(cls, base: Carry, x: Input) -> SideCarry:
        """A carry of the wrapped method's carry and the input x."""
        return cls(base.h, x, base._replace(h=None))

    @property
    def base(self) -> Carry:
        """The carry of the method that is wrapped."""
        return self.rest._replace(h=self.h)


class SideInputs(WrappedMethod):
    """Another method whose blocks are given side inputs: the base's stages, on joined activations.

    Stage k joins, runs the base's stage and trains both; the full path and all exits join alike (the original's shortcut
    path leaves the side input out, and its new parameters belong to no optimizer).
    """

    def __init__(self, base: Method, side: SideInput) -> None:
        if base.num_stages < base.net.num_blocks:
            raise UserError(
                f"a side input is joined before a stage, but {type(base).__name__} trains all blocks in one; take a "
                "method that trains block by block, such as dgl"
            )
        super().__init__(base)
        self.side = side

    def start(self, x: Input, y: torch.Tensor | None = None) -> Carry:
        """The base's carry of what block 0 is given of x; and x."""
        return SideCarry.of(super().start(self.side.start(x), y), x)

    def run_block(self, k: int, carry: Carry) -> Carry:
        """Block k of the base, on the joined activation."""
        return SideCarry.of(super().run_block(k, self._joined(k, carry)), carry.x)

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """Stage k of the base, on the joined activation."""
        following, loss = super().stage(k, self._joined(k, carry), y)
        return SideCarry.of(following, carry.x), loss

    def exit_logits(self, k: int, carry: Carry) -> torch.Tensor:
        """The logits (N, classes) of the base."""
        return super().exit_logits(k, carry.base)

    def inference_modules(self, k: int) -> list[nn.Module]:
        """With what learns of the side input."""
        return [*super().inference_modules(k), self.side.parts[k]]

    def stage_modules(self, k: int) -> list[nn.Module]:
        """With what learns of the side input."""
        return [*super().stage_modules(k), self.side.parts[k]]

    def reads(self, k: int) -> tuple[int, ...]:
        """What the base and the side input read."""
        return tuple(sorted({*super().reads(k), *self.side.reads(k)}))

    def _joined(self, k: int, carry: SideCarry) -> Carry:
        """The base's carry, with the side input of block k in its activation."""
        return carry.base if k == 0 else carry.rest._replace(h=self.side.join(k, carry.h, carry.x))
