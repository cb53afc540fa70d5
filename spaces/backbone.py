"""What a backbone is: units that are never split, and its own classifier; and the site at which a head sits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from spaces.tokens import Activation, activation_shape, example_input


class Backbone(nn.Module):
    """A network before cutting: L units in order, then the classifier. `width` is the multiplier it was built with."""

    def __init__(self, units: Sequence[nn.Module], classifier: nn.Module, *, input_shape: tuple[int, ...],
                 num_classes: int, width: float = 1.0) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.classifier = classifier
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *input_shape), or (N, T) token ids, -> logits (N, num_classes)."""
        h: Activation = x
        for unit in self.units:
            h = unit(h)
        return self.classifier(h)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The activation's shape, without the batch, at each of the L + 1 gaps: `shapes[g]` is what unit g is given."""
        shapes, h = [self.input_shape], example_input(self.input_shape, 2, "meta")
        with torch.no_grad():
            for unit in self.units:
                h = torch.func.functional_call(unit, meta_tensors(unit), (h,))
                shapes.append(activation_shape(h))
        return tuple(shapes)


def meta_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The module's parameters and buffers as shapes without storage; its own buffers stay untouched."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}


@dataclass(frozen=True)
class Site:
    """Where a head sits: after `gap` units of `backbone`, on activations of `shape`, without the batch: (C, H, W), (T, D) of
    tokens or (D,)."""

    shape: tuple[int, ...]
    num_classes: int
    gap: int
    backbone: Backbone
