"""Activation bytes of blocks that are not the sum of their units', by running each as shapes: of texts, and wherever inputs or
activations are no plain tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch.utils._pytree import tree_leaves

from spaces.activation import Activation, example_input, pooled
from spaces.memory.peak_memory import PeakMemory
from spaces.space import SearchSpace

_BATCH = 2**14  # large, so that samples and not the vocabulary's gradient decide where the peak lies


def run_block_bytes(space: SearchSpace, head: str, *, checkpoint_units: bool = False) -> Callable[[int, int], int]:
    """As `spaces.rules.block_bytes`, of inputs of the largest size, such as texts of full length: every block is run."""
    with torch.device("meta"):
        backbone = space.build_backbone()
    space.keep_head_apart(backbone.classifier, space.num_units)

    @cache
    def activations(batch_size: int) -> list[Activation]:
        """What is given to each unit, and what the last one makes."""
        given: list[Activation] = [example_input(space.input_shape, batch_size, "meta")]
        with torch.no_grad(), torch.device("meta"):
            for unit in backbone.units:
                given.append(unit(given[-1]))
        return given

    def peak(batch_size: int, start: int, stop: int) -> int:
        """The training step's, the batch's inputs and what the block is given included."""
        h = activations(batch_size)[start]
        held = {t.untyped_storage() for t in tree_leaves((activations(batch_size)[0], h)) if isinstance(t, torch.Tensor)}
        with torch.device("meta"):
            judge = backbone.classifier if stop == space.num_units else space.head(head, space.site(stop))
        block = space.block(range(start, stop), backbone, checkpoint_units=checkpoint_units)
        with torch.device("meta"), PeakMemory(leave_out=[*block.parameters(), *judge.parameters()]) as memory:
            h = block(h)
            pooled(judge(h)).sum().backward()  # logits, or a block without a head, of which bridges take the mean
        block.zero_grad(set_to_none=True)
        return memory.peak + sum(storage.nbytes() for storage in held)

    @cache
    def bytes_of(start: int, stop: int) -> int:
        return (peak(2 * _BATCH, start, stop) - peak(_BATCH, start, stop)) // _BATCH

    return bytes_of
