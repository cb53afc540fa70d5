"""Where the features of an activation lie, and its form between two units."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import prod

import torch
from torch import fx, nn

from spaces.traced.tracer import MODULE, VALUE


class Layout(Enum):
    """How a network's own code lays an activation out. Between two units all have the forms that heads know: maps
    (N, C, H, W), tokens (N, T, D), vectors (N, D); the others are views of these."""

    PLAIN = "as between units"
    CHANNELS_LAST = "(N, H, W, C)"
    CHANNELS_FIRST_TOKENS = "(N, C, T)"

    def to_form(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape between units, without the batch, of `shape`, which is with the batch."""
        order = self.order
        return tuple(shape[i] for i in order)[1:] if order else tuple(shape)[1:]

    @property
    def order(self) -> tuple[int, ...] | None:
        """How `permute` brings it to its form between units; None where nothing has to be done."""
        return {Layout.CHANNELS_LAST: (0, 3, 1, 2), Layout.CHANNELS_FIRST_TOKENS: (0, 2, 1)}.get(self)

    @property
    def back(self) -> tuple[int, ...] | None:
        """How `permute` brings it back."""
        return {Layout.CHANNELS_LAST: (0, 2, 3, 1), Layout.CHANNELS_FIRST_TOKENS: (0, 2, 1)}.get(self)


def layout_of(node: fx.Node, modules: Mapping[str, nn.Module]) -> Layout:
    """Of what a node gives: its features lie where as many are as the nearest module behind it has.

    Where that does not tell, maps of a network with convolutions are (N, C, H, W), and three dimensions are tokens.
    """
    shape = node.meta[VALUE].shape
    if len(shape) not in (3, 4):
        return Layout.PLAIN
    module = _nearest(node, modules)
    widths = set() if module is None else _widths(module)
    first, last = shape[1] in widths, shape[-1] in widths
    kinds = [type(part) for part in module.modules()] if module is not None else []
    if len(shape) == 4:
        if first == last:  # both or none
            last = nn.Conv2d not in kinds and shape[1] == shape[2] != shape[3]
        return Layout.CHANNELS_LAST if last else Layout.PLAIN
    if first == last:
        first = nn.Conv1d in kinds
        last = not first
    return Layout.PLAIN if last else Layout.CHANNELS_FIRST_TOKENS


def positions(shape: tuple[int, ...]) -> int:
    """How many pixels or tokens an activation of this form, without the batch, has; 1 of vectors."""
    return prod(shape[1:]) if len(shape) >= 3 else shape[0] if len(shape) == 2 else 1


def _nearest(node: fx.Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    """The module with parameters that made what the node gives, the nearest on the way back."""
    while True:
        if node.meta.get(MODULE):
            module = modules[node.meta[MODULE]]
            if any(True for _ in module.parameters()):
                return module
        before = [used for used in node.all_input_nodes if isinstance(used.meta[VALUE], torch.Tensor)]
        if not before:
            return None
        node = before[0]


def _widths(module: nn.Module) -> set[int]:
    """The numbers of features that the layers in a module give."""
    given_first = (nn.Embedding, nn.EmbeddingBag, nn.ConvTranspose1d, nn.ConvTranspose2d)  # their weights are (in, out, ...)
    return {
        parameter.shape[1 if isinstance(part, given_first) and parameter.dim() > 1 else 0]
        for part in module.modules()
        for parameter in part._parameters.values()
        if parameter is not None and parameter.dim() >= 1
    }
