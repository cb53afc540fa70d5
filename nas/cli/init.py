"""`run.py init`: writes a first project, and says how to run it."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

from nas.cli.config import Invocation
from nas.cli.next_steps import interpreter
from nas.cli.program import INSTALLED, program_name
from nas.starter.project import write_project


def run_init(asked: Invocation) -> None:
    """Write the files, and say what each is for and what to type next."""
    folder: Path = asked.options.folder
    written = write_project(folder, _program_in(folder))
    commands = [f"cd {shlex.quote(str(folder))}", f"{shlex.quote(interpreter(folder))} search.py"]
    if asked.json:
        print(json.dumps({"folder": str(folder), "files": [str(path) for path in written], "next": " && ".join(commands)}))
        return
    if not asked.quiet:
        width = max(len(path.name) for path in written)
        print(f"{folder} has")
        for path, what in written.items():
            print(f"  {path.name:{width}}  {what}")
        print("\nit runs as it is:\n")
    for command in commands:
        print(f"  {command}")


def _program_in(folder: Path) -> str:
    """What people type in the project to run this program."""
    if program_name() == INSTALLED:
        return INSTALLED
    return shlex.join(["python", os.path.relpath(sys.argv[0], folder)])
