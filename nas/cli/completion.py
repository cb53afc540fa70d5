"""`run.py completion SHELL`: a script by which a shell completes commands, options and registered names."""

from __future__ import annotations

import argparse
from typing import Any

import shtab

from nas.catalogue.kinds import KINDS
from nas.cli.config import Invocation
from nas.cli.parser import parser
from nas.cli.program import INSTALLED
from nas.commands.completion import CompletionOptions

KIND_OF = {  # the options whose values are names of a kind, in whatever command
    "space": "spaces",
    "task": "tasks",
    "method": "methods",
    "methods": "methods",
    "decoupling": "rules",
    "side": "side inputs",
    "strategy": "strategies",
    "evaluator": "evaluators",
    "executor": "executors",
    "optimizer": "optimizers",
    "schedule": "schedules",
    "grow": "growths",
    "class_batches": "class limits",
    "parallel": "parallels",
    "measure": "figures",
    "rule": "confidence rules",
    "to": "export formats",
    "config": "experiments",
}
FILES = ("csv", "out", "embeddings")
FOLDERS = ("results", "runs", "data_dir", "extend", "run", "target", "source", "folder")


def run_completion(asked: Invocation) -> None:
    """Print the script, of the installed program."""
    options: CompletionOptions = asked.options
    known = parser()
    known.prog = INSTALLED
    for command in known._subparsers._group_actions[0].choices.values():  # type: ignore[union-attr]
        for action in command._actions:
            _complete(action)
    print(shtab.complete(known, options.shell))


def _complete(action: Any) -> None:
    """What may stand there. Names are words for the shell to offer; the script checks none."""
    if isinstance(action, argparse._SubParsersAction) or action.choices or action.nargs == 0:
        return
    if action.dest in KIND_OF:
        action.choices = KINDS[KIND_OF[action.dest]].names()
    elif action.dest == "kinds":
        action.choices = [name.replace(" ", "-") for name in KINDS]
    elif action.dest == "name":
        action.choices = sorted({name for kind in KINDS.values() for name in kind.names()})
    elif action.dest in FILES or action.dest == "inputs":
        action.complete = shtab.FILE
    elif action.dest in FOLDERS:
        action.complete = shtab.DIRECTORY
