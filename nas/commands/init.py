"""`init`: a first project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.commands.option import required


@dataclass(frozen=True, kw_only=True)
class InitOptions:
    """What `init` takes."""

    folder: Path = required("the folder to make, such as my_project", metavar="FOLDER", positional=True)
