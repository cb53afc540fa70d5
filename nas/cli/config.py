"""The options of a command: defaults, then the configuration file, then the flags."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from nas.cli.experiments import configuration
from nas.cli.parser import parser
from nas.cli.program import Parser
from spaces.dotted_names import dotted_names
from spaces.named import is_space_file, named_in_file
from spaces.notation.errors import UserError, unknown
from spaces.notation.own_modules import is_on_python_path
from spaces.notation.plain_yaml import read_yaml


def parse(argv: list[str]) -> argparse.Namespace:
    """The options: defaults, then the configuration file, then the flags."""
    for one in argv:
        if re.search("[\\0\ud800-\udfff]", one):
            raise UserError(f"arguments are text in UTF-8, but {one!r} came; name files so too")
        if re.fullmatch("--[^=]*=--", one):  # argparse takes the value away
            raise UserError(f"{one[:-3]} takes a value, but -- came")
    known = parser()
    typed = options = _parse_known(known, argv)
    if getattr(options, "config", None):
        options = _parse_known(known, [argv[0], *_from_file(configuration(options.config), options), *argv[1:]])
    options.allow, options.typed = vars(typed).get("allow", []), typed_names(typed)  # whatever the file says
    return options


def typed_names(options: argparse.Namespace) -> set[str]:
    """The dotted names of components among the options, and those in a space's file that is named there, as far as their
    modules are installed or on PYTHONPATH: what came beside the file is not."""
    given = [vars(options).get(name) for name in NAMED]
    texts = [text for value in given for text in (value if isinstance(value, list) else [value]) if text is not None]
    typed = set().union(*(dotted_names(text) for text in texts if not is_space_file(text)))
    space = vars(options).get("space") or ""
    in_file = named_in_file(Path(space)) if is_space_file(space) else set()
    return typed | {name for name in in_file if is_on_python_path(name, (Path.cwd(), Path(__file__).resolve().parents[2]))}


NAMED = ("space", "task", "strategy", "evaluator", "method", "methods", "decoupling", "side", "schedule", "optimizer",
         "class_batches", "grow", "rule", "measure")  # options that name components


def _parse_known(known: Parser, argv: list[str]) -> argparse.Namespace:
    options, rest = known.parse_known_args(argv)
    if rest:
        flags = [name for command in known._subparsers._group_actions[0].choices[options.command]._actions  # type: ignore
                 for name in command.option_strings]
        name = rest[0].partition("=")[0]
        if name in flags:
            raise UserError(f"options stand behind the command, as in run.py {options.command} {name}")
        raise unknown(f"option of {options.command}:", name, flags)
    return options


def _from_file(path: Path, options: argparse.Namespace) -> list[str]:
    """A configuration file's keys as flags."""
    keys = read_yaml(path, "the configuration", "--print-config shows one")
    if not isinstance(keys, dict):
        raise UserError(f"a configuration holds options by name, as --print-config shows; {path} does not")
    flags: list[str] = []
    for key, value in keys.items():
        if not hasattr(options, str(key)) or key in NOT_IN_CONFIG:
            raise unknown(f"key of {path}:", str(key), settings_of(options))
        flag = "--" + str(key).replace("_", "-")
        length_is_given = options.epochs is not None or options.iterations is not None
        if value is None or value is False or (key in ("epochs", "iterations") and length_is_given):
            continue
        several, switch = (isinstance(getattr(options, key), kind) for kind in (list, bool))
        if any(str(entry).startswith("--") for entry in (value if isinstance(value, list) else [value])):
            raise UserError(f"{key} takes values, not options, but {value!r} came in {path}")
        if isinstance(value, dict) or (isinstance(value, list) and not several) or (value is True) != switch:
            wanted = "true or false" if switch else "values" if several else "one value"
            raise UserError(f"{key} takes {wanted}, but {value!r} came in {path}")
        flags += [flag] if value is True else [flag, *map(str, value if isinstance(value, list) else [value])]
    return flags


NOT_IN_CONFIG = ("command", "config", "print_config", "json", "default_epochs", "allow", "typed")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a configuration file may hold."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    return {key: value for key, value in plain.items() if key not in NOT_IN_CONFIG}
