"""How a command ends: the page that it leaves, and what to type next, in lines that fit and can be copied."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from nas.cli.program import program_words
from nas.records.results import Results
from spaces.notation.errors import UserError

WIDTH = 80
INDENT = "    "
REPORT = "report.html"
HERE = Path()


def interpreter(folder: Path = HERE) -> str:
    """The Python that runs this, as people type it in a folder: `python` where that is this one, else by its path, as after
    `make search`, which activates no environment."""
    found, executable = shutil.which("python"), Path(sys.executable)
    if found and Path(found).parent == executable.parent:
        return "python"
    return os.path.relpath(executable, folder) if executable.is_relative_to(Path.cwd()) else str(executable)


def typed_here(words: Sequence[str]) -> list[str]:
    """The words with the Python that runs this in front, where they begin with Python."""
    return [interpreter() if words[0] == "python" else words[0], *words[1:]]


def command_lines(words: Sequence[str]) -> str:
    """The command as a shell takes it here, each flag with its values, in lines of 80 columns that end in backslashes. A word is
    never broken, however long it is, nor a flag apart from its first value."""
    lines = [""]
    for group in _groups(typed_here(words)):
        quoted = list(map(shlex.quote, group))
        fits = len(" ".join(quoted)) + len(INDENT) + 2 <= WIDTH
        pieces = [" ".join(quoted)] if fits else [" ".join(quoted[:2]), *quoted[2:]]
        for piece in pieces:
            if lines[-1] and len(lines[-1]) + len(piece) + 3 > WIDTH:
                lines.append(INDENT + piece)
            else:
                lines[-1] += (" " if lines[-1] else "") + piece
    return " \\\n".join(lines)


def _groups(words: Iterable[str]) -> list[list[str]]:
    """The command's own words, and each flag with its values."""
    groups: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--"):
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups


def watch_words(results: Results) -> list[str]:
    """The command that shows the results live."""
    return _with_results("watch", results)


def report_words(results: Results) -> list[str]:
    """The command that writes the page of the results."""
    return _with_results("report", results)


def _with_results(command: str, results: Results) -> list[str]:
    return [*program_words(), command, str(results)]


def leave_report(results: Results) -> str | None:
    """Where the page of all results was written; None where it could not be, which is said: the work itself is done."""
    from nas.commands.report import ReportOptions, reported

    place = results.folder / REPORT
    try:
        text, _ = reported(ReportOptions(results=(results.place,)))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    except (UserError, OSError) as error:
        print(f"there is no report {place}: {error}", file=sys.stderr)
        return None
    return str(place)
