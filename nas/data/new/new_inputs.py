"""Inputs that no task holds, for a trained run to answer: a folder of images, an .npz of images, a CSV file of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from nas.data.images.image_files import is_image
from nas.data.new.new_images import ImageArray, ImageFiles
from nas.data.new.new_texts import NewTexts
from spaces.notation.errors import UserError

_OF_TEXTS = (".csv", ".tsv", ".tab", ".txt")  # as spreadsheets call CSV whose cells are parted by tabs


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
        """Places among `names` (N,) and inputs (N, *input_shape), or token ids (N, T), or a WithFeatures of one, of up to
        `size` inputs."""


def new_inputs(path: Path, inputs: Mapping[str, Any]) -> NewInputs:
    """What lies at `path`, as the run's own inputs were made (`inputs` is `TaskData.inputs`).

    A folder of images (`nas.data.images.image_files`), also in folders in it, a file of one, and an .npz with
    `images` uint8 (N, H, W) or (N, H, W, C) are for runs on images, a CSV file with a column `text`, gzipped or not, is for
    runs on texts. Images in files of another size are scaled until their shorter side fits, and the middle is cut out. A run
    with features takes them from the array `features`, numbers (N, F), or from the columns that it was trained with; they are
    standardised as then, and a folder has none. What is missing, damaged, empty or not for this run is a UserError.
    """
    of_texts = inputs["kind"] == "texts"
    wanted = "a CSV file of texts" if of_texts else "a folder of images or an .npz file"
    if not path.exists():
        raise UserError(f"there is no {path}; this run answers {wanted}")
    if of_texts != path.name.lower().removesuffix(".gz").endswith(_OF_TEXTS):
        raise UserError(f"this run answers {wanted}, but {path} came")
    kind: type[NewTexts] | type[ImageFiles] | type[ImageArray]
    kind = NewTexts if of_texts else ImageFiles if path.is_dir() or is_image(path.name) else ImageArray
    found = kind.read(path, inputs)
    if not found.names:
        raise UserError(f"there is nothing to answer in {path}; give at least one input"
                        + "".join(f" ({note})" for note in found.notes))
    return found
