"""The options of a command: defaults, then the configuration file, then the flags."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.cli.parser import COMMANDS, Command, parser
from nas.cli.program import Parser
from nas.commands.option import options_of, read_options
from nas.commands.typed_names import typed_names
from nas.published.experiments import configuration
from nas.records.results import Results
from nas.records.stores.url import redacted
from spaces.notation.errors import UserError, unknown
from spaces.notation.plain_yaml import read_yaml


@dataclass(frozen=True)
class Invocation:
    """A command with its options (None where it has none), whether facts for programs are asked for, less or more than usual,
    or the configuration, the file that it writes, whether it leaves a page of all results, and the components that were typed,
    and not read in a file. `form` is that of `Command.forms` which was asked for."""

    command: Command
    options: Any
    json: bool
    quiet: bool
    verbose: bool
    dry_run: bool
    print_config: bool
    out: Path | None
    leaves_report: bool
    typed: set[str]
    form: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The options that a configuration file may hold, as YAML has them."""
        return settings_of(self.options)


def parse(argv: list[str]) -> Invocation:
    """The options: defaults, then the configuration file, then the flags."""
    for one in argv:
        if re.search("[\\0\ud800-\udfff]", one):
            raise UserError(f"arguments are text in UTF-8, got {one!r}; name files so too")
        if re.fullmatch("--[^=]*=--", one):  # argparse takes the value away
            raise UserError(f"{one[:-3]} takes a value, got --")
    known = parser()
    given = _parse_known(known, argv)
    command = COMMANDS[given.command]
    typed = options = _options(command, given)
    if command.config and given.config:
        from_file = _from_file(configuration(given.config), command, typed)
        options = _options(command, _parse_known(known, [argv[0], *from_file, *argv[1:]]))
    return Invocation(
        command,
        options,
        given.json,
        given.quiet,
        given.verbose,
        command.plans and given.plans,
        command.config and given.print_config,
        getattr(given, "out", None),
        command.leaves_report and not (given.no_report or given.json),
        typed_names(typed) if command.options else set(),
        getattr(given, "form", None),
    )


def _options(command: Command, given: argparse.Namespace) -> Any:
    if command.options is None:
        return None
    return read_options(command.options, {name: getattr(given, name) for name in options_of(command.options)})


def _parse_known(known: Parser, argv: list[str]) -> argparse.Namespace:
    options, rest = known.parse_known_args(argv)
    if rest:
        flags = [
            name
            for command in known._subparsers._group_actions[0].choices[options.command]._actions  # type: ignore
            for name in command.option_strings
        ]
        name = rest[0].partition("=")[0]
        if name in flags:
            raise UserError(f"options stand behind the command, as in run.py {options.command} {name}")
        raise unknown(f"option of {options.command}:", redacted(name), flags)
    return options


def _from_file(path: Path, command: Command, typed: Any) -> list[str]:
    """A configuration file's keys as flags."""
    keys = read_yaml(path, "the configuration", "--print-config shows one")
    if not isinstance(keys, dict):
        raise UserError(f"a configuration holds options by name, as --print-config shows; {path} does not")
    known = {name: one for name, one in options_of(type(typed)).items() if one.described.in_file}
    length_is_given = typed.epochs is not None or typed.iterations is not None
    flags: list[str] = []
    for key, value in keys.items():
        if key not in known:
            raise unknown(f"key of {path}:", str(key), known)
        one = known[key]
        if value is None or value is False or (key in ("epochs", "iterations") and length_is_given):
            continue
        if any(str(entry).startswith("--") for entry in (value if isinstance(value, list) else [value])):
            raise UserError(f"{key} takes values, not options, got {value!r} in {path}")
        if isinstance(value, dict) or (isinstance(value, list) and not one.several) or (value is True) != (one.kind is bool):
            wanted = "true or false" if one.kind is bool else "values" if one.several else "one value"
            raise UserError(f"{key} takes {wanted}, got {value!r} in {path}")
        flags += [one.flag] if value is True else [one.flag, *map(str, value if isinstance(value, list) else [value])]
    return flags


def settings_of(options: object) -> dict[str, Any]:
    """The options that a configuration file may hold, as YAML has them."""

    def plain(value: Any) -> Any:
        return list(map(plain, value)) if isinstance(value, tuple) else str(value) if isinstance(value, Path | Results) else value

    return {name: plain(getattr(options, name)) for name, one in options_of(type(options)).items() if one.described.in_file}
