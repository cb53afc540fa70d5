"""Weights in the format of the library safetensors, which runs no code when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas.exports.formats.tensors_format import TensorsFormat
from nas.exports.metadata import as_texts


class SafetensorsFile(TensorsFormat):
    """model.safetensors: tensors by name, with metadata."""

    name = "safetensors"
    packages = ("safetensors",)
    file = "model.safetensors"

    def save(self, tensors: dict[str, torch.Tensor], metadata: Mapping[str, Any], path: Path) -> None:
        """Metadata are texts; what is none is written as JSON."""
        from safetensors.torch import save_file

        save_file(tensors, path, as_texts(metadata) | {"format": "pt"})

    def load(self, path: Path) -> dict[str, torch.Tensor]:
        """The tensors by name."""
        from safetensors.torch import load_file

        return load_file(path)
