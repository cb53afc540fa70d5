"""The network that a decoupling makes of a backbone: K blocks, each with its head; the last head is the classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from spaces.activation import Activation, example_input
from spaces.backbone import Backbone
from spaces.layers.layers import Draw, kaiming
from spaces.layers.lean_unit import is_lean, lean
from spaces.memory.in_place import traced


@dataclass(frozen=True)
class PixelScale:
    """How images became inputs: (pixel - mean) / std, pixels in 0..1, one mean and one std a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class DecoupledNet(nn.Module):
    """`blocks[k]` maps what block k is given to its activation, `heads[k]` maps that to logits (N, classes), or to what a
        method that puts modules of its own in their place makes of it.

        `shapes[k]` is the shape, without the batch, of what block k is given, and `shapes[K]` that of the last activation;
        `head_shapes[k]` is that of what head k is given, the activation's where nothing else is said; `pixels` says what
        the inputs were before they were normalised, where somebody knows; `draw_another` builds the same network with weights
    from spaces.activation import Activation, example_input
    from spaces.backbone import Backbone
    """

    loss: Callable[..., torch.Tensor] | None

    def __init__(
        self,
        blocks: Sequence[Block],
        heads: Sequence[nn.Module],
        *,
        shapes: Sequence[tuple[int, ...]],
        num_classes: int,
        head_shapes: Sequence[tuple[int, ...]] | None = None,
        pixels: PixelScale | None = None,
        draw_another: Callable[[], DecoupledNet] | None = None,
        draw: Draw = kaiming,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.heads = nn.ModuleList(heads)
        self.shapes, self.num_classes, self.pixels = tuple(shapes), num_classes, pixels
        self.draw_another, self.draw = draw_another, draw
        self.loss = None
        self.head_shapes = self.shapes[1:] if head_shapes is None else tuple(head_shapes)
        self._backbone = (backbone,)  # in a tuple, so that its weights are not registered twice

    @property
    def backbone(self) -> Backbone:
        """What it was cut from; its `model` is the plain network, with the blocks' weights under its own names."""
        backbone = self._backbone[0]
        assert backbone is not None, "the space that built the network has told"
        return backbone

    @property
    def num_blocks(self) -> int:
        """The number of blocks K."""
        return len(self.blocks)

    @torch.no_grad()
    def examples(self) -> list[Activation]:
        """What each block is given of two inputs, and what the last one hands on, as shapes on the meta device."""
        activations: list[Activation] = [example_input(self.shapes[0], 2, "meta")]
        for block in self.blocks:
            activations.append(traced(block, activations[-1])[0])
        return activations

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *input_shape) -> the classifier's logits (N, classes); auxiliary heads do not run."""
        h: Activation = x
        for block in self.blocks:
            h = block(h)
        return self.heads[-1](h)


class Block(nn.Sequential):
    """The units between two cuts. With `checkpoint_units` only the units' inputs are kept for the backward pass.

    Where a unit is conv-BN-ReLU, it runs in the form that needs least (`spaces.layers.lean_unit`). Any other is checkpointed,
    but for the last: its backward pass comes first, while all that would be saved is still alive.
    """

    def __init__(self, units: Sequence[nn.Module], *, checkpoint_units: bool = False) -> None:
        super().__init__(*units)
        self.checkpoint_units = checkpoint_units

    def forward(self, x: Activation) -> Activation:
        """Run the units in order; the same values and gradients, up to rounding, with and without checkpointing."""
        if not (self.checkpoint_units and torch.is_grad_enabled()):
            return super().forward(x)
        for i, unit in enumerate(self):
            if is_lean(unit, x):
                x = lean(unit, x)  # type: ignore[arg-type]
            elif i == len(self) - 1:
                x = unit(x)
            else:
                x = checkpoint(unit, x, use_reentrant=False, context_fn=partial(_contexts, unit))
        return x


def _contexts(unit: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What the checkpointed unit runs under, in the forward pass and when it is computed again."""
    return nullcontext(), frozen_statistics(unit)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """What runs inside works on copies of the buffers: a batch that is computed again must not count into the running
    statistics a second time."""
    kept = [(part, dict(part._buffers)) for part in module.modules()]
    for part, buffers in kept:
        part._buffers.update({name: buffer.clone() for name, buffer in buffers.items() if buffer is not None})
    try:
        yield
    finally:
        for part, buffers in kept:
            part._buffers.update(buffers)
