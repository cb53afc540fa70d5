"""What a run that is unfinished has in its folder: what it is, which training, and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from methods.training.stages.stage_checkpoints import parts_of
from nas.records.log import Cell
from nas.runs.folders import ABOUT, CHECKPOINT, UNFINISHED


def say_what(key: Mapping[str, Cell], folder: Path) -> None:
    """Write the key of a run that begins into its folder, so that what is unfinished can be listed, and which training it is."""
    folder.mkdir(parents=True, exist_ok=True)
    part = (folder / ABOUT).with_suffix(".part")
    part.unlink(missing_ok=True)
    with open(part, "x", encoding="utf-8") as file:
        json.dump(key, file, indent=1)
    part.replace(folder / ABOUT)


def number_of_training(folder: Path) -> int | None:
    """Of the unfinished training in the folder; None where there is none, or one of an older version."""
    with suppress(OSError, ValueError):
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        number = about.get("training") if isinstance(about, dict) else None
        return number if type(number) is int and number > 0 else None
    return None


def unfinished_files(folder: Path) -> list[Path]:
    parts = [part.path for part in parts_of(folder / CHECKPOINT)]
    return [*(folder / name for name in UNFINISHED if (folder / name).exists()), *parts]


def remove_unfinished(folder: Path) -> None:
    """And the folder, unless it has the weights, or files that are none of ours."""
    for path in unfinished_files(folder):
        path.unlink()
    with suppress(OSError):
        folder.rmdir()
