"""What a kind of input is to a saved run: its fields in the file, its shape, and how new inputs are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from methods.training.saved_fields import Field
from spaces.network import PixelScale


class NewInputs(Protocol):
    """Inputs in the order of `names`, a file's name or the number of a row, from 0 on."""

    @property
    def names(self) -> list[str]: ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, a line each."""

    @property
    def fault(self) -> str | None:
        """Once `batches` is through: which inputs it left out as they cannot be read, and why."""

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, Any]]:
        """Places among `names` (N,) and inputs as the network takes them, such as images (N, *input_shape) or token ids (N, T),
        or a WithFeatures of one, of up to `size` inputs."""


class InputKind(ABC):
    """One kind of input, of which `inputs` (`TaskData.inputs`) says how they are made of files; its field `kind` names this."""

    wanted: ClassVar[str]
    """What `read` takes, as messages have it."""

    fields: ClassVar[Mapping[str, Field]]
    """What a saved file holds in `inputs` beside kind, classes and features."""

    def fitting(self, inputs: Mapping[str, Any]) -> Mapping[str, Field]:
        """Fields again, where they have to fit each other; each holds by itself already."""
        return {}

    @abstractmethod
    def shape(self, inputs: Mapping[str, Any]) -> tuple[int, ...]:
        """What a network is built for: (C, H, W), or an `InputShape` of its own."""

    def pixels(self, inputs: Mapping[str, Any]) -> PixelScale | None:
        """How images were normalised; None where inputs are none."""
        return None

    @abstractmethod
    def takes(self, path: Path) -> bool:
        """Whether what lies at `path` may be such inputs, by its name."""

    @abstractmethod
    def read(self, path: Path, inputs: Mapping[str, Any]) -> NewInputs:
        """The inputs at `path`; what is missing, damaged or not for this run is a UserError."""
