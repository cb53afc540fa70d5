"""Inputs that only a user's own data set can make, as a saved run knows them: numbers or token ids, in an .npz file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from methods.training.saved_fields import Field, whole
from nas.data.features import FeatureScale, beside
from nas.data.images.npz import read_npz
from nas.data.new.input_kind import InputKind, NewInputs
from nas.data.new.new_images import standardised_features
from spaces.activation import TextShape
from spaces.notation.errors import UserError


class TensorKind(InputKind):
    """Tensors as the network takes them: the shape of one, or how many tokens of a text are kept, and of how many words."""

    wanted = "an .npz file with the array inputs, as the run's data set makes them"
    fields: ClassVar[Mapping[str, Field]] = {
        "shape": whole(1, 10_000_000).listed("a whole number from 1 on each"),
        "num_words": whole(0, 10_000_000),
    }

    def fitting(self, inputs: Mapping[str, Any]) -> Mapping[str, Field]:
        """Ids have one length; numbers have one size at least."""
        most = 1 if inputs["num_words"] else 8
        return {"shape": Field(f"1..{most} numbers", lambda held: 1 <= len(held) <= most)}

    def shape(self, inputs: Mapping[str, Any]) -> tuple[int, ...]:
        """The shape of one input; a `TextShape` of ids."""
        shape = tuple(inputs["shape"])
        return TextShape(shape[0], inputs["num_words"]) if inputs["num_words"] else shape

    def takes(self, path: Path) -> bool:
        """An .npz file."""
        return path.suffix.lower() == ".npz"

    def read(self, path: Path, inputs: Mapping[str, Any]) -> NewInputs:
        """The array `inputs`, and `features` where the run has any."""
        return NewTensors.read(path, inputs)


@dataclass(frozen=True, eq=False)
class NewTensors:
    """Inputs of an .npz file, with their features where the run has any."""

    names: list[str]
    x: torch.Tensor
    features: torch.Tensor | None
    notes: tuple[str, ...] = ()
    fault = None

    @classmethod
    def read(cls, path: Path, inputs: Mapping[str, Any]) -> NewTensors:
        """Finite numbers (N, *shape), or ids (N, T) below `num_words`; another type or shape is a UserError."""
        found, *numbers = read_npz(path, ["inputs", *(["features"] if inputs.get("features") else [])])
        ids, shape = inputs["num_words"], tuple(inputs["shape"])
        if ids:
            wanted = f"whole token ids (N, T), 0 for padding, below {ids}"
            fits = found.dtype.kind in "iu" and found.ndim == 2 and found.size and found.min() >= 0 and found.max() < ids
        else:
            wanted = f"finite numbers (N, {', '.join(map(str, shape))})"
            fits = found.dtype.kind == "f" and found.shape[1:] == shape and bool(np.isfinite(found).all())
        if not fits:
            raise UserError(f"this run answers {wanted}, got {str(found.dtype)[:40]} {found.shape} in {path}; convert them")
        x = torch.from_numpy(found.astype(np.int64 if ids else np.float32))
        features = standardised_features(numbers[0], len(found), FeatureScale.read(inputs["features"]), path) if numbers else None
        return cls([str(row) for row in range(len(found))], x[:, : shape[0]] if ids else x, features)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, Any]]:
        """Batches of up to `size` inputs, in order."""
        for index in torch.arange(len(self.names)).split(size):
            yield index, beside(self.x[index], self.features, index)
