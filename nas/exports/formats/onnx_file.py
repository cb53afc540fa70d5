"""ONNX, for onnxruntime and whatever else reads it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas.exports.formats.graph_format import GraphFormat, Stage
from nas.exports.metadata import as_texts
from spaces.notation.errors import UserError
from spaces.notation.own_modules import said_by


class OnnxFile(GraphFormat):
    """model.onnx, or stage1.onnx, ... of a cascade: float32 graphs for onnxruntime, with metadata."""

    packages = ("onnx", "onnxscript", "onnxruntime")
    suffix = "onnx"

    def __init__(self, *, opset: int = 20) -> None:
        self.opset = opset

    def save(self, stage: Stage, metadata: Mapping[str, Any], path: Path) -> None:
        """Sizes that vary are called batch and length. An operator that ONNX lacks is a UserError that names it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own code
            try:
                program = torch.onnx.export(
                    stage.graph,
                    dynamo=True,
                    verbose=False,
                    opset_version=self.opset,
                    input_names=list(stage.given),
                    output_names=list(stage.gives),
                )
            except torch.onnx.OnnxExporterError as error:
                raise UserError(f"ONNX lacks an operator of this network ({said_by(error)}); take --to torch_export") from None
        assert program is not None
        model = program.model
        called: dict[str, str] = {}
        for value, sizes in zip(model.graph.inputs, stage.probe.sizes, strict=True):
            assert value.shape is not None
            called |= {str(value.shape[axis]): name for axis, name in sizes.items()}
        for value in (*model.graph.inputs, *model.graph.outputs):
            assert value.shape is not None
            for axis, size in enumerate(value.shape):
                value.shape[axis] = called.get(str(size), size)
        model.metadata_props.update(as_texts(metadata))
        program.save(str(path))
