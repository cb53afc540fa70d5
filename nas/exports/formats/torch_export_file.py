"""Exported programs of PyTorch, which hold the graph and the weights and run without the code that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas.exports.formats.graph_format import GraphFormat, Stage


class TorchExportFile(GraphFormat):
    """model.pt2, or stage1.pt2, ... of a cascade: exported programs for torch.export.load, with metadata."""

    name = "torch_export"
    suffix = "pt2"

    def save(self, stage: Stage, metadata: Mapping[str, Any], path: Path) -> None:
        """The metadata are the extra file metadata.json."""
        torch.export.save(stage.graph, str(path), extra_files={"metadata.json": json.dumps(dict(metadata))})
