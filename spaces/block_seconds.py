"""What a training step of any block takes, added up from parts that were measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from spaces.activation import Activation, combined, example_input, numbers
from spaces.backbone import Backbone
from spaces.clock import seconds_on
from spaces.layers.lean_unit import is_lean
from spaces.network import Block
from spaces.space import SearchSpace

FEWEST, ENOUGH_SECONDS = 5, 3.0


class PartSeconds(NamedTuple):
    """Seconds of a training step of each part of a network: unit by unit, and of the head at each gap, the classifier's last.

    first    of a unit that begins a block, and needs no gradient of its input
    inner    of a unit behind another one of its block
    again    of a unit's forward pass, where checkpointing runs it twice, else 0
    heads    by the number of units before
    """

    first: tuple[float, ...]
    inner: tuple[float, ...]
    again: tuple[float, ...]
    heads: dict[int, float]


def block_seconds(
    space: SearchSpace, head: str, *, batch_size: int, checkpoint_units: bool = False
) -> Callable[[int, int], float]:
    """`seconds(start, stop)` of a training step of units start..stop-1 and their head, `head` or the classifier."""
    parts = part_seconds(space, head, batch_size=batch_size, checkpoint_units=checkpoint_units)
    inner, again = (list(accumulate(column, initial=0.0)) for column in (parts.inner, parts.again))

    def seconds(start: int, stop: int) -> float:
        of_units = parts.first[start] + inner[stop] - inner[start + 1] + again[stop - 1] - again[start]
        return of_units + parts.heads[stop]

    return seconds


def part_seconds(space: SearchSpace, head: str, *, batch_size: int, checkpoint_units: bool = False) -> PartSeconds:
    """Measured on the device where the space builds its networks, in float32: forward and backward pass and the update of SGD
    with momentum, of batches of noise, or of texts of full length.

    Medians over turns in which every part runs once, so that what slows the machine for a while slows all parts; for three
    seconds, and five turns at least, after one to warm up. The weights are others than those of any network of the
    space, and torch's random numbers go on as if nothing had been drawn.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()):
        backbone = space.another().build_backbone()
        device = next((weights.device for weights in backbone.parameters()), torch.get_default_device())
        turn = _Turn(space, backbone, head, batch_size, device, checkpoint_units)
        turn()
        began, turns = time.monotonic(), [turn()]
        while len(turns) < FEWEST or time.monotonic() - began < ENOUGH_SECONDS:
            turns.append(turn())
    first, inner, again = (
        tuple(map(median, zip(*(column(parts) for parts in turns), strict=True)))
        for column in (lambda parts: parts.first, lambda parts: parts.inner, lambda parts: parts.again)
    )
    return PartSeconds(first, inner, again, {gap: median(parts.heads[gap] for parts in turns) for gap in turns[0].heads})


class _Turn:
    """One pass through the network, in which each part takes a training step on what the part before it made."""

    def __init__(
        self, space: SearchSpace, backbone: Backbone, head: str, batch_size: int, device: torch.device, checkpoint_units: bool
    ) -> None:
        heads = {gap: space.head(head, space.site(gap, backbone)) for gap in space.gaps}
        for i in range(space.num_units):
            space.keep_unit_apart(backbone, i)
        space.keep_head_apart(backbone.classifier, space.num_units)
        self.units = [_Part(Block([unit], checkpoint_units=checkpoint_units), device) for unit in backbone.units]
        self.heads = {gap: _Part(module, device) for gap, module in (heads | {space.num_units: backbone.classifier}).items()}
        self.inputs = combined(torch.randn_like, example_input(space.input_shape, batch_size, device))
        self.checkpoint_units = checkpoint_units

    def __call__(self) -> PartSeconds:
        first, inner, again, heads = [], [], [], {}
        h: Activation = self.inputs
        for i, unit in enumerate(self.units):
            forward, step, made = unit.step(h, gradient=False)
            first.append(step)
            inner.append(step if i == 0 else unit.step(h, gradient=True)[1])
            again.append(forward if self.checkpoint_units and not is_lean(next(unit.module.children()), h) else 0.0)
            h = combined(torch.Tensor.detach, made)
            if i + 1 in self.heads:
                heads[i + 1] = self.heads[i + 1].step(h, gradient=True)[1]
        return PartSeconds(tuple(first), tuple(inner), tuple(again), heads)


class _Part:
    def __init__(self, module: nn.Module, device: torch.device) -> None:
        module.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.module, self.device = module, device
        weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(weights, lr=1e-6, momentum=0.9) if weights else None

    def step(self, h: Activation, *, gradient: bool) -> tuple[float, float, Activation]:
        """The seconds of the forward pass, those of all of a training step, and what the part makes. `gradient`: that of its
        input is computed, too."""
        given = combined(lambda part: part.detach().requires_grad_(gradient), h)
        began = seconds_on(self.device)
        made = self.module(given)
        forward = seconds_on(self.device) - began
        learns = [part for part in numbers(made) if part.requires_grad]
        if learns:
            torch.autograd.backward(learns, [torch.ones_like(part) for part in learns])
        if self.optimizer is not None:
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return forward, seconds_on(self.device) - began, made
