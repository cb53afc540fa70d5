"""Cooperative Learning (Fang, Bradford and Kim 2023): networks of several depths that teach each other, trained at once."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from methods.early_exit import EarlyExit
from methods.losses import distillation
from methods.method import Carry
from methods.traits import Traits
from spaces.decoupling import Decoupling
from spaces.heads import HEADS
from spaces.network import DecoupledNet
from spaces.notation.errors import UserError

Pair = tuple[torch.Tensor, torch.Tensor]  # the logits of a student and of its teacher


class Cooperative(EarlyExit):
    """A leader and two teammates of one backbone, each teammate with sub-networks of several depths (Fang et al. 2023).

    The sub-network that ends at a cut is a teammate's first units and the head there. With D the
    distillation tau^2 KL(t || s), s_j the whole teammate j, s_{j,k} its sub-networks and l the leader, which has no heads
    but the classifier, one step minimises
      sum_j L(teammate j) + CE(l, y) + sub_weight sum_{j,k} D(s_{j,k}, s_j) + mutual_weight (D(s_1, s_2) + D(s_2, s_1))
      + leader_weight sum_j D(s_j, l), L as of early_exit.
    Inference runs the first teammate, as deep as wanted; the others are for training alone. All blocks are one stage.

    depths       units of each sub-network, in place of the decoupling's cuts, with its first head
    temperature  of each term D: sub_temperature, mutual_temperature, leader_temperature

    From the paper: the three networks, which are trained at once, and who teaches whom. Ours,
    since its losses are not public: D (Hinton et al. 2015), that only whole networks teach each other and are taught by the
    leader, that the leader is taught by labels alone, every weight, and every temperature (mutual learning has none, that is
    1, in Zhang et al. 2018). The three networks differ in the weights that they start from.

    sub_weight          of what sub-networks learn from their teammate
    mutual_weight       of what teammates learn from each other
    leader_weight       of what teammates learn from the leader
    sub_temperature     of the teammate's logits
    mutual_temperature  of the teammates' logits
    leader_temperature  of the leader's logits
    """

    def __init__(
        self,
        net: DecoupledNet,
        *,
        depths: tuple[int, ...] | None = None,
        label_smoothing: float = 0.1,
        exit_weight: float = 1.0,
        sub_weight: float = 1.0,
        sub_temperature: float = 4.0,
        mutual_weight: float = 1.0,
        mutual_temperature: float = 1.0,
        leader_weight: float = 1.0,
        leader_temperature: float = 4.0,
    ) -> None:
        super().__init__(net, label_smoothing=label_smoothing, exit_weight=exit_weight)
        ends = tuple(accumulate(len(list(block.children())) for block in net.blocks))
        assert depths in (None, ends[:-1]), "the network is of the decoupling that `traits` rewrote"
        assert net.draw_another is not None, "the space that built the network can draw another"
        self.terms = {
            "sub": (sub_weight, sub_temperature),
            "mutual": (mutual_weight, mutual_temperature),
            "leader": (leader_weight, leader_temperature),
        }
        for name, (weight, temperature) in self.terms.items():
            if not (0 <= weight < math.inf and 0 < temperature < math.inf):
                raise UserError(
                    f"{name}_weight is a number from 0 on and {name}_temperature one above 0, got {weight} and "
                    f"{temperature}; a weight of 0 leaves the term out"
                )
        self.teammate = EarlyExit(net.draw_another(), label_smoothing=label_smoothing, exit_weight=exit_weight)
        self.leader = net.draw_another()
        self.leader.heads = self.leader.heads[-1:]

    @classmethod
    def traits(cls, *, depths: tuple[int, ...] | None = None, **settings: Any) -> Traits:
        """As early_exit; the cuts are at `depths` where they are given."""
        plain = super().traits()

        def at_depths(asked: Decoupling) -> Decoupling:
            if depths is None:
                return asked
            head = asked.heads[0] if asked.heads else str(HEADS.resolve(str(plain.default_head)))
            return Decoupling(depths, (head,) * len(depths))

        return replace(plain, rewrite=at_depths, class_labels="its networks teach each other probabilities of classes")

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        """The first teammate's last activation, and the loss of all three networks."""
        leader, (_, second) = self.leader(carry.h), self.teammate.run_exits(carry)
        carry, first = self.run_exits(carry)
        from_labels = self.exits_loss(first, y) + self.exits_loss(second, y) + self.output_loss(leader, y)
        return carry, from_labels + self.distillation_loss(first, second, leader)

    def distillation_loss(self, first: list[torch.Tensor], second: list[torch.Tensor], leader: torch.Tensor) -> torch.Tensor:
        """The three weighted terms, of the logits of both teammates' exits and of the leader. A weight of 0 computes nothing."""
        whole = first[-1], second[-1]
        pairs: dict[str, list[Pair]] = {
            "sub": [(logits, exits[-1]) for exits in (first, second) for logits in exits[:-1]],
            "mutual": [whole, whole[::-1]],
            "leader": [(logits, leader) for logits in whole],
        }
        losses = [
            weight * distillation(student, teacher, temperature)
            for term, (weight, temperature) in self.terms.items()
            if weight
            for student, teacher in pairs[term]
        ]
        return torch.stack(losses).sum() if losses else leader.new_zeros(())

    def stage_modules(self, k: int) -> list[nn.Module]:
        """With the second teammate and the leader."""
        return [*super().stage_modules(k), self.teammate, self.leader]
