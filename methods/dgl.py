"""Decoupled greedy learning, and backprop, which is the same rule without a cut."""

from __future__ import annotations

from typing import Any

import torch

from methods.method import Carry, Method
from methods.traits import Traits
from spaces.decoupling import Decoupling


class DGL(Method):
    """Local cross-entropy through each block's head (Belilovsky et al. 2020); also SEDONA's final training.

    What differs between DGL, SEDONA and plain greedy learning is the decoupling, not the method.
    """

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """Its head where a cut names none is mlp_sr."""
        return Traits(default_head="mlp_sr")

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """h_k = block_k(h_{k-1}), L_k = CE(head_k(h_k), y), or another loss of the same two."""
        carry = self.run_block(k, carry)
        return carry, self.output_loss(self.net.heads[k](self.head_input(k, carry)), y)


class Backprop(DGL):
    """End-to-end backprop: one block, one loss. It has no use for cuts or heads."""

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """What backprop is: always uncut."""
        return Traits(rewrite=lambda asked: Decoupling())
