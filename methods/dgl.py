"""Decoupled greedy learning, and backprop, which is the same rule without a cut."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from methods.method import Carry, Method
from spaces.decoupling import Decoupling


class DGL(Method):
    """Local cross-entropy through each block's head (Belilovsky et al. 2020); also SEDONA's final training.

    What differs between DGL, SEDONA and plain greedy learning is the decoupling, not the method.
    """

    default_head: ClassVar[str | None] = "mlp_sr"

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """h_k = block_k(h_{k-1}), L_k = CE(head_k(h_k), y)."""
        carry = self.run_block(k, carry)
        return carry, self.cross_entropy(self.net.heads[k](self.head_input(k, carry)), y)


class Backprop(DGL):
    """End-to-end backprop: one block, one loss. It has no use for cuts or heads."""

    default_head = None

    @classmethod
    def adapt(cls, decoupling: Decoupling, **settings: Any) -> Decoupling:
        """Always uncut."""
        return Decoupling()
