"""Formats that hold weights alone, by their names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nas.exits.adaptive import Answers
from nas.exports.exported import Exported
from nas.exports.formats.export_format import ExportFormat
from nas.exports.functions import ExitFunction, input_probe
from nas.exports.tensors import exit_tensors, load_exit_tensors
from spaces.notation.errors import UserError


class TensorsFormat(ExportFormat):
    """One file of the tensors that an exit has (`nas.exports.tensors.exit_tensors`)."""

    holds_a_program = False
    file: str

    @abstractmethod
    def save(self, tensors: dict[str, torch.Tensor], metadata: Mapping[str, Any], path: Path) -> None:
        """Write the file."""

    @abstractmethod
    def load(self, path: Path) -> dict[str, torch.Tensor]:
        """The tensors in the file."""

    def write(self, exported: Exported, metadata: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """One file; a cascade of exits, which is a program, is a UserError."""
        if exported.adaptive:
            raise UserError(f"--adaptive is a program, but --to {self.name} holds weights alone; take onnx or torch_export")
        tensors = exit_tensors(exported.method, exported.depth - 1)
        self.save(tensors, metadata, folder / self.file)
        return {"files": [self.file]}

    @torch.no_grad()
    def answers(self, exported: Exported, folder: Path, tensors: Sequence[torch.Tensor]) -> Answers:
        """Those of a network of which nothing is left but the tensors in the file."""
        method, k = exported.another_method(), exported.depth - 1
        for tensor in method.state_dict().values():
            tensor.zero_()
        load_exit_tensors(method, k, self.load(folder / self.file))
        logits = ExitFunction(method, k, input_probe(method, exported.num_features).given)(*tensors)
        return Answers(logits, torch.full((len(logits),), exported.depth))
