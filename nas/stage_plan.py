"""What processes would hold, send and wait for if each trained some of a method's stages."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils._pytree import tree_leaves

from methods.method import Method
from methods.training.scoring import autocast
from methods.training.settings import TrainingSettings
from methods.training.stages.plan import planned
from nas.cost import Cost, ProcessCost, StagePlan


def stage_plan(
    cost: Cost,
    method: Method,
    settings: TrainingSettings,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    name: str,
    processes: int,
    depth: int,
) -> StagePlan:
    """The plan by the seconds that `cost` has; a UserError where the stages of the method `name` cannot be parted so.

    What is sent is counted on the batch, x (N, *input_shape) and y (N,), in the precision of the settings. Activations are
    counted as `cost` does, in float32; only the first process holds the batch's inputs, unless the method hands them on.
    """
    seconds = [block.seconds or 0.0 for block in cost.blocks]
    sent = list(_sent(method, settings, x, y))
    rows = []
    for stages in planned(method, seconds, processes, name):
        peak = max(cost.blocks[k].activation_bytes for k in stages) * cost.batch_size
        if stages.start > 0 and not sent[stages.start - 1][1]:
            peak -= x.nbytes
        sends = sent[stages.stop - 1][0] if stages.stop < len(seconds) else 0
        rows.append(ProcessCost(tuple(stages), sum(seconds[k] for k in stages), sends, peak + depth * sends))
    return StagePlan(tuple(rows), depth)


@torch.no_grad()
def _sent(method: Method, settings: TrainingSettings, x: torch.Tensor, y: torch.Tensor) -> Iterator[tuple[int, bool]]:
    """Of what each stage hands on: its bytes with those of the labels, and whether the inputs are part of it."""
    method.to(x.device).train()
    carry, inputs = method.start(x, y), x.untyped_storage()
    for k in range(method.num_stages):
        with autocast(x.device, settings.precision):
            carry, _ = method.isolated_stage(k, carry, y)
        tensors = [leaf for leaf in tree_leaves(carry) if isinstance(leaf, torch.Tensor)]
        yield sum(tensor.nbytes for tensor in (*tensors, y)), any(tensor.untyped_storage() == inputs for tensor in tensors)
