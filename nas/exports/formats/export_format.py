"""What a format of exports is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch

from nas.exits.adaptive import Answers
from nas.exports.exported import Exported
from spaces.notation.errors import UserError


class ExportFormat(ABC):
    """A kind of files that a run is written as, and how they are read again to see that they answer alike."""

    name: ClassVar[str]
    """As `--to` has it."""

    packages: ClassVar[tuple[str, ...]] = ()
    """What has to be installed beside torch: those of the extra `export`."""

    holds_a_program: ClassVar[bool]
    """Whether the files compute answers by themselves, and do not only hold weights."""

    def check_installed(self) -> None:
        """A UserError names what is missing."""
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            raise UserError(f"--to {self.name} needs {' and '.join(missing)}, which is not installed; pip install '.[export]'")

    @abstractmethod
    def write(self, exported: Exported, metadata: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
        """Write the files into an empty folder, with the metadata in each. Metadata that only became known by it."""

    @abstractmethod
    def answers(self, exported: Exported, folder: Path, tensors: Sequence[torch.Tensor]) -> Answers:
        """What the files in the folder answer to the tensors of inputs."""
