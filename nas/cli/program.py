"""The program as its own help shows it: what it is for, and its commands. What takes time to import is left to the commands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from spaces.notation.errors import UserError

DESCRIPTION = "Search where to cut a network and which heads to use; evaluate what was found."
COMMANDS = {
    "search": "search a space with a strategy",
    "evaluate": "train decouplings with several methods and seeds, and compare",
    "profile": "what each block of a decoupling costs",
    "compare": "methods against K, from the rows of evaluate",
    "report": "one page that shows all of results: tables, charts, the best network; for any browser, without a network",
    "plot": "the charts of results, and pictures of decouplings, as SVG, PDF or PNG for papers",
    "predict": "answer new inputs with a trained run",
    "export": "write a trained run as files that other programs load",
    "export-results": "copy rows from one results store to another: a folder of CSV files, a PostgreSQL database",
    "watch": "the report of results as a page that is served, live, with what runs now",
    "runs": "list or clean what lies below --runs: saved weights, unfinished runs",
    "init": "write a first project: a network, a space, a configuration and a script that run at once",
    "list": "what there is, with one line each",
    "show": "all of a name: its settings, an example, its paper",
    "completion": "a script by which bash, zsh or fish completes commands, options and names",
}


INSTALLED = "decoupled-nas"


def program_name() -> str:
    """What the program is called here: as the installed command, or as the script."""
    return INSTALLED if Path(sys.argv[0]).name == INSTALLED else "run.py"


def program_words() -> list[str]:
    """The words that start the program again."""
    return [INSTALLED] if program_name() == INSTALLED else ["python", "run.py"]


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help that shows defaults where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if isinstance(action.default, list | tuple) and action.help:
            return f"{action.help} (default: {' '.join(map(str, action.default))})" if action.default else action.help
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: one line, with the nearest real option."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help lists the options")


def program() -> tuple[Parser, dict[str, Parser]]:
    """The program's parser and those of its commands by name, which have no options of their own yet."""
    top = Parser(prog=program_name(), description=DESCRIPTION, allow_abbrev=False)
    commands: Any = top.add_subparsers(dest="command", required=True, metavar=" | ".join(COMMANDS))
    return top, {
        name: commands.add_parser(name, help=text, description=text, allow_abbrev=False, formatter_class=Formatter)
        for name, text in COMMANDS.items()
    }


def names_no_command(argv: list[str]) -> bool:
    """Whether the program's own parser answers this command line: with its help, or that there is no such command."""
    return not argv or argv[0] in ("-h", "--help") or not (argv[0].startswith("-") or argv[0] in COMMANDS)
