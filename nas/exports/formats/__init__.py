"""The formats by name, one a file."""

from __future__ import annotations

from nas.exports.formats.export_format import ExportFormat
from nas.exports.formats.onnx_file import OnnxFile
from nas.exports.formats.safetensors_file import SafetensorsFile
from nas.exports.formats.torch_export_file import TorchExportFile
from nas.exports.formats.torch_file import TorchFile
from spaces.notation.table import Table

FORMATS: Table[ExportFormat] = Table(
    "export format",
    {"torch": TorchFile, "safetensors": SafetensorsFile, "onnx": OnnxFile, "torch_export": TorchExportFile},
    makes=ExportFormat,
)
