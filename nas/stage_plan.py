"""What processes would hold, send and wait for if each trained some of a method's stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils._pytree import tree_leaves

from methods.method import Method
from methods.training.scoring import autocast
from methods.training.settings import TrainingSettings
from methods.training.stages.plan import planned
from nas.cost import Cost


@dataclass(frozen=True)
class ProcessCost:
    """One process in the row.

    stages        of the method, contiguous
    seconds       of an iteration, without waiting
    sends_bytes   to the next process an iteration, the carry and the labels; 0 of the last
    memory_bytes  the largest peak of activations of its stages in a step, and the carries that are on their way to the next
    """

    stages: tuple[int, ...]
    seconds: float
    sends_bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class StagePlan:
    """Processes side by side, of which each hands carries to the next, up to `depth` at a time."""

    processes: tuple[ProcessCost, ...]
    depth: int

    @property
    def bound(self) -> float:
        """Seconds of an iteration in one process over those of the slowest: the speed-up of a pipeline that never waits."""
        seconds = [process.seconds for process in self.processes]
        return sum(seconds) / max(seconds)


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
