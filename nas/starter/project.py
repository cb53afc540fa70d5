"""Writes the files of a first project into a folder of their own."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

from nas.records.results_log import told_of_path
from spaces.notation.errors import UserError

TEMPLATE = Path(__file__).parent / "template"
FILES = {
    "network.py": "the network: put yours here",
    "space.yaml": "where it may be cut, and the heads that may sit there",
    "search.yaml": "the data, the method, the strategy, how long",
    "search.py": "searches, trains what was found beside baselines, writes a report",
    "README.md": "the same in a few words",
    ".gitignore": "what is made, and not kept in git",
}
NAME = re.compile(r"[A-Za-z][\w-]*", re.ASCII)


def check_free(folder: Path) -> None:
    """Raise UserError unless the folder can become a project: new, or empty but for git's own, with a name of letters, digits,
    `_` and `-`, in a folder that is there."""
    name = folder.absolute().name
    if not NAME.fullmatch(name):
        raise UserError(f"a project's name begins with a letter and has letters, digits, _ and -, got {name!r}; give my_project")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"a project lies in a folder that is there, got {folder}; make {folder.absolute().parent} first")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"a project is a folder, got {folder}, which is something else; give another name")
    if folder.is_dir() and (there := sorted(path.name for path in folder.iterdir() if path.name != ".git")):
        raise UserError(f"a project begins in a new or empty folder, got {folder}, which has {there[0]}; give another name")


def write_project(folder: Path, program: str) -> dict[Path, str]:
    """Make the folder and its files, and say what is in each; `program` is what people type to run the program there. A folder
    that is not free is a UserError, and nothing is written."""
    check_free(folder)
    with told_of_path(f"the folder {folder}", "change the permissions or name another"):
        folder.mkdir(exist_ok=True)
        for name in FILES:
            text = (TEMPLATE / f"{name.lstrip('.')}.txt").read_text(encoding="utf-8")
            with open(folder / name, "x", encoding="utf-8") as file:
                file.write(Template(text).substitute(name=folder.absolute().name, program=program))
    return {folder / name: what for name, what in FILES.items()}
