"""ONNX, for onnxruntime and whatever else reads it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas.exports.exported import Exported
from nas.exports.formats.graph_format import GraphFormat, Stage, copy_runner, padded, stages_of
from nas.exports.formats.onnx_cascade import cascade
from nas.exports.graph import cause
from nas.exports.metadata import as_texts
from spaces.notation.errors import UserError


class OnnxFile(GraphFormat):
    """model.onnx, or stage1.onnx, ... of a cascade: float32 graphs for onnxruntime, with metadata.

    opset     the version of ONNX's operators
    one_file  a cascade is one graph, model.onnx, with an `If` behind each exit, for one input at a time
    """

    name = "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")
    suffix = "onnx"

    def __init__(self, *, opset: int = 20, one_file: bool = False) -> None:
        self.opset, self.one_file = opset, one_file

    def write(self, exported: Exported, metadata: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """A file a graph, or one of all, and answer.py."""
        if not self.one_file:
            return super().write(exported, metadata, folder)
        if exported.adaptive is None:
            raise UserError("one_file joins the stages of a cascade, got no --adaptive; leave one of them out")
        stages = stages_of(exported, deciding=True)
        whole = {"file": f"model.{self.suffix}", "depth": exported.depth, "temperature": 1.0, "batch_axes": [0]}
        inputs = {**metadata["inputs"], "padded": padded(exported, stages)}
        known = {**metadata, "files": [whole["file"]], "inputs": inputs, "stages": [whole | {"one_by_one": True}]}
        import onnx

        model = cascade([self._model(stage) for stage in stages], [stage.depth for stage in stages])
        onnx.helper.set_model_props(model, as_texts(known))
        onnx.save(model, folder / str(whole["file"]))
        copy_runner(folder)
        return known

    def save(self, stage: Stage, metadata: Mapping[str, Any], path: Path) -> None:
        """Sizes that vary are called batch and length. An operator that ONNX lacks is a UserError that names it."""
        program = self._program(stage)
        program.model.metadata_props.update(as_texts(metadata))
        program.save(str(path))

    def _model(self, stage: Stage) -> Any:
        """As onnx has it in memory."""
        return self._program(stage).model_proto

    def _program(self, stage: Stage) -> torch.onnx.ONNXProgram:
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
                raise UserError(
                    f"ONNX has a form for every operator of an exported network, got one without ({cause(error)}); take --to "
                    "torch_export"
                ) from None
        assert program is not None
        graph, called = program.model.graph, dict[str, str]()
        for value, sizes in zip(graph.inputs, stage.probe.sizes, strict=True):
            assert value.shape is not None
            called |= {str(value.shape[axis]): name for axis, name in sizes.items()}
        for value in (*graph.inputs, *graph.outputs):
            assert value.shape is not None
            for axis, size in enumerate(value.shape):
                value.shape[axis] = called.get(str(size), size)
        for node in graph:
            node.metadata_props.clear()  # the lines of code behind it, with the folders of this machine
        return program
