"""Numbers that code reads off shapes early and uses late: read again off what a unit is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx


@dataclass(frozen=True)
class Number:
    """How a number follows from the activation h that a unit is given.

    what   constant; size: h.shape[of]; batch: of h.shape[0] + constant; device, dtype: of h; parts: a tuple of numbers
    """

    what: str
    of: Any = None
    constant: Any = None

    @property
    def is_frozen(self) -> bool:
        """Whether a size of the traced input stands in the code, so that other sizes of inputs would go wrong."""
        if self.what == "parts":
            return any(part.is_frozen for part in self.of)
        return self.what == "constant" and isinstance(self.constant, int | float) and not isinstance(self.constant, bool)

    def written(self, graph: fx.Graph, h: fx.Node) -> Any:
        """The nodes that read it off h, or the constant."""
        if self.what == "parts":
            return tuple(part.written(graph, h) for part in self.of)
        if self.what == "constant":
            return self.constant
        if self.what in ("device", "dtype"):
            return graph.call_function(getattr, (h, self.what))
        size = graph.call_method("size", (h, 0 if self.what == "batch" else self.of))
        if self.what == "size" or (self.of, self.constant) == (1, 0):
            return size
        return graph.call_function(_linear, (size, self.of, self.constant))


def number(values: Sequence[Any], given: Sequence[torch.Tensor]) -> Number | None:
    """How a number that had these values in several runs follows from what the unit was given in them; None if it does not.

    The runs differ in the number of samples, and in their length where inputs do.
    """
    first = values[0]
    if isinstance(first, torch.device):
        return Number("device")
    if isinstance(first, torch.dtype):
        return Number("dtype") if all(value == h.dtype for value, h in zip(values, given, strict=True)) else _constant(values)
    if isinstance(first, tuple | list):
        if any(len(value) != len(first) for value in values):
            return None
        parts = [number(each, given) for each in zip(*values, strict=True)]
        return None if None in parts else Number("parts", tuple(parts))
    if all(type(value) is type(first) and value == first for value in values):
        return Number("constant", constant=first)
    if not all(isinstance(value, int) for value in values):
        return None
    for place in range(given[0].dim()):
        if all(h.shape[place] == value for value, h in zip(values, given, strict=True)):
            return Number("size", place)
    batches = [h.shape[0] for h in given]
    (low, at_low), (high, at_high) = sorted(dict(zip(batches, values, strict=True)).items())[:2]
    slope = (at_high - at_low) // (high - low)
    constant = at_low - slope * low
    fits = all(slope * batch + constant == value for batch, value in zip(batches, values, strict=True))
    return Number("batch", slope, constant) if fits else None


def _constant(values: Sequence[Any]) -> Number | None:
    return Number("constant", constant=values[0]) if all(value == values[0] for value in values) else None


def _linear(size: int, slope: int, constant: int) -> int:
    return slope * size + constant
