"""What a backbone is: units that are never split, and its own classifier; and the site at which a head sits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from spaces.activation import Activation, activation_shape, example_input
from spaces.construction import Construction
from spaces.layers.layers import Draw, kaiming
from spaces.memory.in_place import storages, traced_at


class Backbone(nn.Module):
    """A network before cutting: L units in order, then the classifier. `width` is the multiplier it was built with; `draw` draws
    its weights, and those of what is put onto it: heads, decoders, contexts. `model` is the network that it was cut out of, with
    the same weights under its own names, if it is not this one; `notes` is what people should know of it."""

    def __init__(
        self,
        units: Sequence[nn.Module],
        classifier: nn.Module,
        *,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: float = 1.0,
        draw: Draw = kaiming,
        model: nn.Module | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.classifier = classifier
        self.input_shape = input_shape
        self.num_classes = num_classes
        self.width = width
        self.name = ""
        """How a space names it, for messages."""
        self.draw = draw
        self.construction: Construction | None = None
        """How other programs make the plain network; None where its class is of this project, or nobody knows."""
        self.notes = notes
        self._model = (model,)  # in a tuple, so that its weights are not registered twice

    @property
    def model(self) -> nn.Module:
        """The plain network whose weights these are: that of a library or of the user, or this backbone itself."""
        return self._model[0] or self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *input_shape), or (N, T) token ids, -> logits (N, num_classes)."""
        h: Activation = x
        for unit in self.units:
            h = unit(h)
        return self.classifier(h)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The activation's shape, without the batch, at each of the L + 1 gaps: `shapes[g]` is what unit g is given."""
        return (self.input_shape, *map(activation_shape, self._run[0][1:]))

    def example(self, gap: int) -> Activation:
        """The activation after `gap` units, of two inputs, on the meta device."""
        return self._run[0][gap]

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the network's own outputs, without the batch: (classes,), or (C, H, W) of outputs at every pixel."""
        made, _ = traced_at(f"the classifier of the backbone {self.name}".rstrip(), self.classifier, self._run[0][-1])
        return activation_shape(made)

    def overwrites(self, start: int, stop: int) -> bool:
        """Whether units start..stop-1, one after the other, write into what the first is given."""
        return any(start in gaps for gaps in self._run[1][start:stop])

    @cached_property
    def _run(self) -> tuple[list[Activation], list[set[int]]]:
        """The activation at each gap, and at which gaps those lie that each unit writes into."""
        activations: list[Activation] = [example_input(self.input_shape, 2, "meta")]
        overwritten = []
        for number, unit in enumerate(self.units, start=1):
            what = f"unit {number} of {len(self.units)} of the backbone {self.name}".rstrip()
            made, written = traced_at(what, unit, activations[-1])
            overwritten.append({gap for gap, h in enumerate(activations) if storages(h) & written} if written else set())
            activations.append(made)
        return activations, overwritten


@dataclass(frozen=True)
class Site:
    """Where a head sits: after `gap` units of `backbone`, on activations of `shape`, without the batch: (C, H, W), (T, D) of
    tokens or (D,). `example` is one of two inputs, on the meta device; None says that it is a plain tensor."""

    shape: tuple[int, ...]
    num_classes: int
    gap: int
    backbone: Backbone
    example: Activation | None = None
