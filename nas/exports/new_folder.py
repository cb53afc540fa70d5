"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nas.records.results_log import told_of_path
from spaces.notation.errors import UserError

WAY_OUT = "name another --out"


def check_is_new(folder: Path) -> None:
    """A UserError where something lies there; nothing of anybody's is written over."""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"an export goes to a new folder, got {folder}, where something lies; remove it, or {WAY_OUT}")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes this place at the end; nothing is left where that is not reached."""
    with told_of_path(f"the folder of {folder}", WAY_OUT):
        check_is_new(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent, ignore_cleanup_errors=True) as held:
            inside = Path(held) / folder.name
            inside.mkdir()
            yield inside
            check_is_new(folder)
            inside.replace(folder)
