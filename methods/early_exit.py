"""Early-exit networks learned end to end: a head at every cut, which gradients cross."""

from __future__ import annotations

import math
from typing import Any

import torch

from methods.method import Carry, Method
from methods.traits import Traits
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError


class EarlyExit(Method):
    """Backprop through all exits at once (BranchyNet, Teerapittayanon et al. 2016; MSDNet, Huang et al. 2018).

    L = CE(classifier(h_K), y) + exit_weight sum_{k<K} CE(head_k(h_k), y), with nothing detached: cuts say only where the heads
    sit, all blocks are one stage, and K = 1.

    exit_weight  1: every exit counts alike, as in MSDNet; BranchyNet weighs early exits more

    Deviation: exits are the heads of this framework, where both papers have branches of their own architecture.
    """

    def __init__(self, net: DecoupledNet, *, label_smoothing: float = 0.1, exit_weight: float = 1.0) -> None:
        super().__init__(net, label_smoothing=label_smoothing)
        if not 0 < exit_weight < math.inf:
            raise UserError(
                f"exit_weight is the weight of each early exit's loss, above 0, where the classifier's is 1, got "
                f"{exit_weight}; without early exits it is backprop"
            )
        self.exit_weight = exit_weight

    @classmethod
    def traits(cls, **settings: Any) -> Traits:
        """End to end; its head where a cut names none is mlp_sr."""
        return Traits(default_head="mlp_sr", end_to_end=True)

    @property
    def stages(self) -> tuple[range, ...]:
        """One of all blocks, which gradients join."""
        return (range(self.net.num_blocks),)

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """All blocks and heads, and the weighted sum of their losses."""
        carry, answers = self.run_exits(carry)
        return carry, self.exits_loss(answers, y)

    def run_exits(self, carry: Carry) -> tuple[Carry, list[torch.Tensor]]:
        """What the last block hands on, and the logits (N, classes) of every exit."""
        answers = []
        for block in range(self.net.num_blocks):
            carry = self.run_block(block, carry)
            answers.append(self.exit_logits(block, carry))
        return carry, answers

    def exits_loss(self, answers: list[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
        """CE(classifier) + exit_weight times the sum of the other exits' CE, of logits (N, classes) each."""
        *early, last = (self.output_loss(logits, y) for logits in answers)
        return last + self.exit_weight * sum(early)
