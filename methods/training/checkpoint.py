"""A run's state on disk: whole or not at all, whatever kills the process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch

from methods.training.saved_fields import Field, check_fields
from methods.training.saved_file import Foreign, load_saved
from spaces.notation.errors import UserError

SECONDS_BETWEEN = 30.0  # a save costs milliseconds to a second; what a crash costs is at most this


class Checkpoint:
    """One file that is replaced as a whole. `described` names the run; a file of another run is refused.

    With `path` None nothing is ever saved.
    """

    def __init__(self, path: Path | None, described: str) -> None:
        self.path, self.described = path, described
        self._saved = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The saved state with its tensors on `device`; None where there is none."""
        if self.path is None or not self.path.exists():
            return None
        with self.damage_told():
            saved = load_saved(self.path, device)
            described = saved.pop("described")
        if described != self.described:
            raise UserError(f"the checkpoint {self.path} is of another run ({described}); remove it or choose another folder")
        return saved

    def damage_told(self) -> AbstractContextManager[None]:
        """For taking over what was loaded: whatever a damaged file leads into is a UserError that names it."""
        return damage_told(f"the checkpoint {self.path}", "remove it to begin anew")

    def check_fields(self, held: Any, fields: Mapping[str, Field], *, within: str = "") -> None:
        """Refuse fields, those of the file or of its field `within`, that are missing or hold something else."""
        check_fields(f"the checkpoint {self.path}", "remove it to begin anew", held, fields, within=within)

    def due(self, *, force: bool) -> bool:
        """Whether it is time to save."""
        return self.path is not None and (force or time.monotonic() - self._saved > SECONDS_BETWEEN)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; until the new one is on disk the old one stays."""
        if self.path is None:
            return
        save_whole(state | {"described": self.described}, self.path)
        self._saved = time.monotonic()


def save_whole(state: dict[str, Any], path: Path) -> None:
    """Write `state` for `load_saved`; until all of it is on disk, `path` is what it was before.

    A process that is killed meanwhile leaves a file of the same name that ends in `.part`; a save that fails, as on a full
    disk, leaves none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    if os.path.lexists(part):  # of a killed process, or a link that somebody put there
        part.unlink()
    try:
        with open(part, "xb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # torch hides a failed write, such as a full disk's OSError
                raise (error.__context__ or error) from None
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def damage_told(file: str, way_out: str) -> Iterator[None]:
    """Whatever a damaged `file` leads its reader into is a UserError; errors of the disk and of memory stay as they are."""
    try:
        yield
    except (UserError, OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Foreign as error:
        raise UserError(f"{file} cannot be read ({error}); {way_out}") from None
    except Exception as error:
        raise UserError(f"{file} cannot be read ({type(error).__name__}); {way_out}") from None
