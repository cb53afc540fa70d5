"""What a block costs: its activation memory, computed from shapes, or the seconds of its training step, measured."""

from __future__ import annotations

import time
from itertools import accumulate
from statistics import median

import torch
from torch import nn

from nas.cost import wait_for
from nas.strategies.sedona.expected_cost import Cost
from spaces.activation import Activation, combined, example_input, numbers
from spaces.rules import block_bytes
from spaces.space import SearchSpace

REPEATS = 5


def block_memory(space: SearchSpace, *, checkpoint_units: bool = False) -> Cost:
    """`cost(start, stop, head)`: the peak activation bytes an image of a training step of units start..stop-1.

    `head` is an index into the space's heads, None for the classifier; `cost(0, L, None)` is the uncut network's.
    """
    peaks = [block_bytes(space, head, checkpoint_units=checkpoint_units) for head in space.heads]
    return lambda start, stop, head: peaks[head or 0](start, stop)  # the last block has the classifier whatever the head


def block_seconds(space: SearchSpace, batch_size: int, device: torch.device) -> dict[str, list[float]]:
    """The seconds of a forward and a backward pass of every part, plain numbers: measure once, keep with the search.

    `units` has L entries, `classifier` one, and each head's name one for each gap. Medians of 5 runs after one to warm
    up, by the wall clock, on activations of noise or of texts of full length. Every part computes the gradient of its
    input where it has one, which the first unit of a block need not.
    """
    backbone = space.build_backbone().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads = {head: [space.head(head, space.site(gap, backbone)) for gap in space.gaps] for head in space.heads}
    for i in range(space.num_units):
        space.keep_unit_apart(backbone, i)
    space.keep_head_apart(backbone.classifier, space.num_units)
    inputs = example_input(space.input_shape, batch_size, device)
    activations: list[Activation] = [combined(torch.randn_like, inputs)]
    with torch.no_grad():
        for unit in backbone.units:
            activations.append(unit(activations[-1]))

    def seconds(module: nn.Module, gap: int) -> float:
        return _step_seconds(module, activations[gap], device)

    return {
        "units": [seconds(unit, gap) for gap, unit in enumerate(backbone.units)],
        "classifier": [seconds(backbone.classifier, space.num_units)],
        **{head: [seconds(own, gap) for gap, own in zip(space.gaps, heads[head], strict=True)] for head in space.heads},
    }


def block_time(space: SearchSpace, tables: dict[str, list[float]]) -> Cost:
    """`cost(start, stop, head)`: the seconds of units start..stop-1 and their head, added up from `block_seconds`."""
    before = list(accumulate(tables["units"], initial=0.0))
    position = {gap: j for j, gap in enumerate(space.gaps)}

    def cost(start: int, stop: int, head: int | None) -> float:
        on_top = tables["classifier"][0] if head is None else tables[space.heads[head]][position[stop]]
        return before[stop] - before[start] + on_top

    return cost


def _step_seconds(module: nn.Module, h: Activation, device: torch.device) -> float:
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    seconds = []
    for _ in range(REPEATS + 1):
        module.zero_grad(set_to_none=True)
        given = combined(lambda part: part.detach().requires_grad_(), h)
        wait_for(device)
        started = time.perf_counter()
        made = numbers(module(given))
        torch.autograd.backward(made, [torch.ones_like(part) for part in made])
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])
