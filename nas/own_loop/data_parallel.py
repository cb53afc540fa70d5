"""Several processes, each on its share of the batch: gradients are averaged block by block."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from methods.method import Carry, Method, Stage
from spaces.notation.errors import UserError


class StageModule(nn.Module):
    """A stage as a module, whose parameters and buffers are its own; the method is not registered."""

    def __init__(self, method: Method, k: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(method.stage_modules(k))
        self.k, self._method = k, (method,)

    def forward(self, carry: Carry, y: Any, compiled: Stage | None) -> tuple[Carry, torch.Tensor]:
        """The carry for the next stage, and the stage's loss."""
        return self._method[0].isolated_stage(self.k, carry, y, compiled=compiled)


def parallel_stages(method: Method, **options: Any) -> list[DistributedDataParallel]:
    """Each stage in a DistributedDataParallel of its own, whose one backward pass a step is what that expects. Without a process
    group a UserError."""
    if not is_distributed():
        raise UserError(
            "blocks average gradients over the processes of torch.distributed, got no process group; "
            "call torch.distributed.init_process_group before data_parallel"
        )
    return [DistributedDataParallel(StageModule(method, k), **options) for k in range(method.num_stages)]


def is_distributed() -> bool:
    """Whether this process belongs to a group."""
    return dist.is_available() and dist.is_initialized()


def check_averaged() -> None:
    """A UserError where several processes train and nothing averages their gradients."""
    if is_distributed() and dist.get_world_size() > 1 and _active() is None:
        raise UserError(
            f"each process would train a model of its own, got {dist.get_world_size()} processes and nothing that averages "
            "gradients; call data_parallel(), data_parallel(by_hand=True) where your loop does, or side_by_side()"
        )


def check_not_around(module: nn.Module) -> None:
    """A UserError where a DistributedDataParallel around the whole module would train it end to end."""
    around = _active()
    if around is not None and around.module is module and module.training and torch.is_grad_enabled():
        raise UserError(
            "DistributedDataParallel around a decoupled model knows one backward pass, got its forward in training; "
            "call data_parallel() and train with step or losses"
        )


def _active() -> DistributedDataParallel | None:
    """The DistributedDataParallel whose forward runs, if one does."""
    return DistributedDataParallel._get_active_ddp_module()
