"""A folder that appears whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from nas.records.results_log import told_of_path
from nas.records.run_lock import RunLock
from spaces.notation.errors import UserError

WAY_OUT = "name another --out"


def check_is_new(folder: Path) -> None:
    """A UserError where something lies there; nothing of anybody's is written over."""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"an export goes to a new folder, got {folder}, where something lies; remove it, or {WAY_OUT}")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes this place at the end; nothing is left where that is not reached, but by a
    process that is killed, after which the next one for this place clears up."""
    with told_of_path(f"the folder of {folder}", WAY_OUT):
        check_is_new(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear_up(folder)
        with TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent, ignore_cleanup_errors=True) as held:
            inside = Path(held) / folder.name
            with _lock(Path(held), folder):
                inside.mkdir()
                yield inside
                check_is_new(folder)
                inside.replace(folder)


def _clear_up(folder: Path) -> None:
    """Remove what killed processes have left, whose locks are free; what cannot be removed stays."""
    for part in folder.parent.glob(f".{glob.escape(folder.name)}.*.part"):
        with suppress(OSError, UserError):
            if not part.is_symlink() and (lock := _lock(part, folder)).try_take():
                shutil.rmtree(part, ignore_errors=True)
                lock.release()


def _lock(part: Path, folder: Path) -> RunLock:
    """Of the process that writes into the folder `part`, in which it lies beside what takes the place of `folder`."""
    return RunLock(part / f"{folder.name}.part")
