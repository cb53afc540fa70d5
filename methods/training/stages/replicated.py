"""Training a stage in several replicas, each on its share of the batch: gradients are averaged before the update."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from methods.training.stages.group import Group
from methods.training.trainer import Trainer


class ReplicaTrainer(Trainer):
    """A Trainer whose stages average gradients over the replicas of `group`, where there are several.

    BatchNorm normalises by a replica's own share. Its running statistics are those of the first replica wherever they are
    looked at: in a validation, a checkpoint and a stage that trains no more.
    """

    def __init__(self, *given: Any, group: Group, **named: Any) -> None:
        super().__init__(*given, **named)
        self.group = group.of_replicas
        self.replica, self.replicas = group.replica, group.topology.replicas
        self.first = group.topology.rank(group.process, 0)

    def seed_stage(self, k: int, iteration: int) -> None:
        """Dropout of its own for every replica."""
        super().seed_stage(k, iteration)
        if self.replica:
            self.generator.manual_seed(self.generator.initial_seed() + self.replica * 2**40)

    def average_gradients(self, k: int) -> None:
        """The mean of the replicas' gradients; of a parameter that one of them did not use, 0 counts."""
        if self.group is None:
            return
        parameters = self.method.stage_parameters(k)
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        for kind in dict.fromkeys((one.dtype, one.device) for one in gradients):
            same = [place for place, one in enumerate(gradients) if (one.dtype, one.device) == kind]
            flat = torch.cat([gradients[place].reshape(-1) for place in same])
            dist.all_reduce(flat, group=self.group)
            flat /= self.replicas
            parts = flat.split([gradients[place].numel() for place in same])
            for place, part in zip(same, parts, strict=True):
                # In the gradient's own memory order: fused optimizers take numbers as they lie.
                mean = torch.empty_like(gradients[place])
                parameters[place].grad = mean.copy_(part.view(gradients[place].shape))

    def take_buffers_of_first(self) -> None:
        """Running statistics as the first replica has them."""
        if self.group is None:
            return
        for module in self.modules():
            for buffer in module.buffers():
                dist.broadcast(buffer, self.first, group=self.group)
