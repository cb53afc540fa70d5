"""What a method is: one stage a block. Gradients never cross a cut, because the carry is detached here and only here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from methods.losses import smoothed_cross_entropy
from spaces.decoupling import Decoupling
from spaces.errors import UserError
from spaces.network import DecoupledNet

Carry = Any  # a tensor, or a tuple of tensors: what a stage hands to the next


class Method(nn.Module, ABC):
    """A learning rule for a decoupled network of K blocks; stage k trains block k and head k.

    Settings that a user may give are the keyword-only arguments of `__init__`.
    """

    default_head: ClassVar[str | None] = None
    """The head that a cut gets where the decoupling names none."""

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.1) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 0.5:
            raise UserError(f"label_smoothing is the target's share of the wrong classes, in [0, 0.5], but {label_smoothing} "
                            "came; 0 is plain cross-entropy")
        self.net = net
        self.label_smoothing = label_smoothing

    @classmethod
    def adapt(cls, decoupling: Decoupling) -> Decoupling:
        """The decoupling that this method trains when `decoupling` is asked for."""
        return decoupling

    @property
    def num_stages(self) -> int:
        """K."""
        return self.net.num_blocks

    def start(self, x: torch.Tensor, y: torch.Tensor) -> Carry:
        """What the first stage is given, for inputs x (N, *input_shape) and labels y (N,)."""
        return x

    @abstractmethod
    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """Run block k on the carry: the carry for stage k + 1, and block k's scalar local loss."""

    def isolated_stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """`stage` on a carry that gradients do not cross."""
        return self.stage(k, tree_map_only(torch.Tensor, torch.Tensor.detach, carry), y)

    def losses(self, x: torch.Tensor, y: torch.Tensor) -> Iterator[torch.Tensor]:
        """The K local losses, lazily: call `backward` on each before asking for the next, and only one block's
        activations are alive at a time."""
        carry = self.start(x, y)
        for k in range(self.num_stages):
            carry, loss = self.isolated_stage(k, carry, y)
            yield loss

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *input_shape) -> logits (N, classes) of the whole network."""
        return self.net(x)

    def exits(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """The logits (N, classes) after each block, lazily; the last are those of `forward`."""
        for block, head in zip(self.net.blocks, self.net.heads, strict=True):
            x = block(x)
            yield head(x)

    def stage_parameters(self, k: int) -> list[nn.Parameter]:
        """What block k's own optimizer updates."""
        return [*self.net.blocks[k].parameters(), *self.net.heads[k].parameters()]

    def cross_entropy(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy with this method's label smoothing."""
        return smoothed_cross_entropy(logits, y, self.label_smoothing)
