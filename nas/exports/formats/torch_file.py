"""PyTorch's own file of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas.exports.formats.tensors_format import TensorsFormat


class TorchFile(TensorsFormat):
    """model.pt: a state dict and the metadata beside it, for torch.load(..., weights_only=True)."""

    name = "torch"
    file = "model.pt"

    def save(self, tensors: dict[str, torch.Tensor], metadata: Mapping[str, Any], path: Path) -> None:
        """{"state_dict": names to tensors, "metadata": plain data}."""
        torch.save({"state_dict": tensors, "metadata": dict(metadata)}, path)

    def load(self, path: Path) -> dict[str, torch.Tensor]:
        """The state dict."""
        return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
