"""What a decoupled network costs: parameters, MACs and activation bytes from its shapes, seconds from running it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from methods.method import Carry, Method
from methods.training.settings import TrainingSettings
from methods.training.stages.seconds import stage_seconds
from spaces.activation import example_input
from spaces.memory.attention import FUSED_ON_CPU, fused_attention
from spaces.memory.in_place import BatchNormFromShapes
from spaces.memory.peak_memory import PeakMemory


@dataclass(frozen=True)
class BlockCost:
    """One stage: its blocks, with what else of it runs at inference, and its heads, with what else only training needs.
    MACs are of one sample's forward pass, `head_macs` of all that inference leaves out; activation bytes are a
    sample's peak in the stage's training step; `reads` are the other stages whose weights it reads in training; seconds
    are the median of a training step of the stage (`stage_seconds`), None where nothing was run."""

    blocks: tuple[int, ...]
    units: int
    params: int
    head_params: int
    macs: int
    head_macs: int
    activation_bytes: int
    reads: tuple[int, ...] = ()
    seconds: float | None = None


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


@dataclass(frozen=True)
class Cost:
    """A whole network. `params` and `macs` (of one sample) are those of inference, of the whole path to the logits;
    `peak_activation_bytes` is of one training step, a stage at a time, of a batch of `batch_size`. Where seconds were
    measured, `timed_steps` says in how many steps, and `bound_uncertainty` how well the bound is known: half its 95 %
    interval, relative to it. `plan` is that of processes, where one was asked for."""

    blocks: tuple[BlockCost, ...]
    batch_size: int
    peak_activation_bytes: int
    params: int
    macs: int
    timed_steps: int = 0
    bound_uncertainty: float | None = None
    plan: StagePlan | None = None

    @property
    def head_params(self) -> int:
        """Parameters of auxiliary heads and all else that only training needs."""
        return sum(block.params + block.head_params for block in self.blocks) - self.params

    @property
    def head_macs(self) -> int:
        """Multiply-accumulates of one sample in what only training needs."""
        return sum(block.macs + block.head_macs for block in self.blocks) - self.macs

    @property
    def training_only(self) -> float:
        """The share of all parameters that only training needs, in 0..1."""
        return self.head_params / (self.params + self.head_params)

    @property
    def shares(self) -> list[float]:
        """Each stage's share of a training step, by seconds where measured and by MACs where not."""
        work: list[float] = [block.seconds for block in self.blocks if block.seconds is not None]
        if len(work) < len(self.blocks):
            work = [block.macs + block.head_macs for block in self.blocks]
        return [part / sum(work) for part in work]

    @property
    def pipeline_speedup_bound(self) -> float:
        """Total over largest stage: what running the stages side by side can gain at most."""
        return 1 / max(self.shares)


def cost(build: Callable[[], Method], input_shape: tuple[int, ...], num_classes: int, batch_size: int) -> Cost:
    """The cost of the method that `build` makes, from shapes alone; nothing is computed. Texts have full length."""
    with torch.device("meta"):  # also while it runs, for what modules make then
        return _cost(build(), example_input(input_shape, batch_size, "meta"), torch.zeros(batch_size, dtype=torch.long))


def _cost(method: Method, x: torch.Tensor, y: torch.Tensor) -> Cost:
    batch_size = len(y)
    method.train()
    params, (macs, _) = count([method.net.heads[-1]]), macs_of(batch_size, method, x)
    blocks, net, carry = [], method.net, method.start(x, y)
    for k in range(method.num_stages):
        of_stage = tuple(method.stages[k])
        block_macs, _ = macs_of(batch_size, _run_blocks, method, of_stage, carry)
        stage_macs, (carry, _) = macs_of(batch_size, method.isolated_stage, k, carry, y)
        units = sum(len(list(net.blocks[block].children())) for block in of_stage)
        block_params = count(module for block in of_stage for module in method.inference_modules(block))
        params += block_params
        blocks.append(
            BlockCost(
                of_stage,
                units,
                block_params,
                count(method.stage_modules(k)) - block_params,
                block_macs,
                stage_macs - block_macs,
                activation_bytes=0,
                reads=method.reads(k),
            )
        )
    peaks = _peaks(method, x, y)
    blocks = [replace(block, activation_bytes=peak // batch_size) for block, peak in zip(blocks, peaks, strict=True)]
    return Cost(tuple(blocks), batch_size, max(peaks), params, macs)


def timed(
    cost_: Cost, method: Method, settings: TrainingSettings, x: torch.Tensor, y: torch.Tensor, *, device: torch.device
) -> Cost:
    """`cost_` with each stage's seconds (`stage_seconds`). Trains `method`."""
    found = stage_seconds(method, settings, x, y, device=device)
    blocks = [replace(block, seconds=seconds) for block, seconds in zip(cost_.blocks, found.seconds, strict=True)]
    return replace(cost_, blocks=tuple(blocks), timed_steps=found.turns, bound_uncertainty=found.uncertainty)


def _run_blocks(method: Method, blocks: Iterable[int], carry: Carry) -> Carry:
    for block in blocks:
        carry = method.run_block(block, carry)
    return carry


def _peaks(method: Method, x: torch.Tensor, y: torch.Tensor) -> list[int]:
    """The peak bytes of each stage's training step, what the stage is given and the batch's images included."""
    peaks, given = [], method.start(x, y)
    for k in range(method.num_stages):
        held = {t.untyped_storage() for t in (x, *tree_leaves(given)) if isinstance(t, torch.Tensor)}
        with PeakMemory(leave_out=method.parameters()) as memory:
            given, loss = method.isolated_stage(k, given, y)
            loss.backward()
        del loss
        peaks.append(memory.peak + sum(storage.nbytes() for storage in held))
        method.zero_grad(set_to_none=True)
    return peaks


def macs_of(batch_size: int, run: Callable[..., Any], *given: Any) -> tuple[int, Any]:
    """MACs of one sample of the batch in `run(*given)`, and what comes out."""
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, or looks for it everywhere

    counter = FlopCounterMode(display=False, custom_mapping={FUSED_ON_CPU: _attention_flops})
    with counter, torch.no_grad(), BatchNormFromShapes(), fused_attention():
        result = run(*given)
    return counter.get_total_flops() // 2 // batch_size, result


def _attention_flops(queries: torch.Size, keys: torch.Size, values: torch.Size, *_: Any, **__: Any) -> int:
    """Which torch counts for its other fused kernels, but not for this one."""
    from torch.utils.flop_counter import sdpa_flop_count

    return sdpa_flop_count(queries, keys, values)


def count(modules: Iterable[nn.Module]) -> int:
    """How many parameters the modules have, each counted once."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def wait_for(device: torch.device) -> None:
    """Until the device has done all that was asked of it; what a clock needs before it is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
