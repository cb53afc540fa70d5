"""What every command prints and writes: where it runs, the command to type next, the file of --out."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from nas.cli.program import INSTALLED, program_name, program_words
from nas.cli.terminal import columns_of
from nas.notice import detail
from nas.records.results_log import check_folder
from nas.records.stores.url import redacted
from spaces.notation.errors import UserError

if TYPE_CHECKING:  # with torch, which the program's own help does without
    from nas.cli.config import Invocation
    from nas.problem import Problem


def say_where(problem: Problem, asked: Invocation) -> None:
    """Say what the run computes with; a second process of the same command shares its work. Those who want to know more are told
    where things are written."""
    if asked.json or asked.quiet:
        return
    count = asked.options.threads
    threads = f", {count} thread{'s' if count > 1 else ''} a process" if problem.device.type == "cpu" else ""
    sharing = "; start the same command again to share the work" if asked.command.name == "evaluate" else ""
    trial = f", a trial of scale {problem.scale:g}" if problem.scale else ""
    layout = ", channels-last" if problem.data.pixels else ""
    say(f"on {problem.device}{threads}{layout}, {problem.settings.precision}{trial}{sharing}")
    for note in (*problem.data.notes, *problem.space.template.notes):
        say(note)
    if asked.command.name in ("search", "evaluate"):
        detail(f"rows and histories go to {problem.results}, unfinished runs and weights to {problem.runs}")


def say(text: str) -> None:
    """A note on stderr, between words within a terminal's columns."""
    columns = columns_of(sys.stderr)
    print("\n".join(wrap(text, columns, break_on_hyphens=False)) if columns else text, file=sys.stderr)


def command_line() -> str:
    """The command as it was typed, without the password of a results store."""
    called = program_words() if program_name() == INSTALLED else ["python", Path(sys.argv[0]).name]
    return shlex.join([*called, *map(redacted, sys.argv[1:])])


def allowing(packages: Iterable[str]) -> list[str]:
    """The flags that allow these packages."""
    return [part for package in packages for part in ("--allow", package)]


def check_out(path: Path | None) -> None:
    """Say before the work that --out could not be written; nothing is made or changed."""
    if path is None:
        return
    try:
        if path.is_file():
            os.close(os.open(path, os.O_WRONLY))
        elif path.is_dir() or not path.parent.is_dir():
            raise UserError(f"--out is a file in a folder that is there, got {path}; name such a file")
        elif not path.exists():
            check_folder(path.parent)
    except OSError as error:
        raise UserError(f"--out cannot be written: {path}: {error.strerror}; name another file") from None


def write_file(path: Path, text: str) -> None:
    """Write what --out asks for."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out cannot be written: {error}; name a file in a folder that is there") from None
