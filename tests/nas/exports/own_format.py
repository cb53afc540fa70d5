"""A format of a user's own: weights as numpy has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.exports.formats.tensors_format import TensorsFormat


class NumpyFile(TensorsFormat):
    """model.npz: an array a tensor."""

    name = "numpy"
    file = "model.npz"

    def save(self, tensors: dict[str, torch.Tensor], metadata: Mapping[str, Any], path: Path) -> None:
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})

    def load(self, path: Path) -> dict[str, torch.Tensor]:
        with np.load(path) as arrays:
            return {name: torch.from_numpy(array) for name, array in arrays.items()}
