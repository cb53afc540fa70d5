"""Inputs that no task holds, for a trained run to answer: a folder of images, an .npz of images, a CSV file of texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.data.new.input_kind import NewInputs
from nas.data.new.input_kinds import input_kind
from spaces.notation.errors import UserError


def new_inputs(path: Path, inputs: Mapping[str, Any]) -> NewInputs:
    """What lies at `path`, as the run's own inputs were made (`inputs` is `TaskData.inputs`).

    A folder of images (`nas.data.images.image_files`), also in folders in it, a file of one, and an .npz with
    `images` uint8 (N, H, W) or (N, H, W, C) are for runs on images, a CSV file with a column `text`, gzipped or not, is for
    runs on texts. Images in files of another size are scaled until their shorter side fits, and the middle is cut out. A run
    with features takes them from the array `features`, numbers (N, F), or from the columns that it was trained with; they are
    standardised as then, and a folder has none. What is missing, damaged, empty or not for this run is a UserError.
    """
    kind = input_kind(inputs)
    if not path.exists():
        raise UserError(f"there is no {path}; this run answers {kind.wanted}")
    if not kind.takes(path):
        raise UserError(f"this run answers {kind.wanted}, got {path}")
    found = kind.read(path, inputs)
    if not found.names:
        raise UserError(
            f"there is nothing to answer in {path}; give at least one input" + "".join(f" ({note})" for note in found.notes)
        )
    return found
