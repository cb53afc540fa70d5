"""`run.py list`: shows what there is."""

from __future__ import annotations

import json
import sys
from textwrap import wrap

from nas.catalogue.kinds import Kind, read_kinds
from nas.catalogue.settings import settings_of
from nas.cli.config import Invocation
from nas.cli.program import program_name
from nas.cli.styled import print_heading
from nas.cli.terminal import columns_of
from nas.commands.names import ListOptions
from spaces.notation.errors import UserError

PIPED = 80  # columns where stdout is no terminal, so that what is read there is always the same
WIDEST = 110  # columns that are read with ease
NAME = 18  # columns of names; longer ones have a line of their own


def run_list(asked: Invocation) -> None:
    """Show what there is."""
    options: ListOptions = asked.options
    tables = [(kind, _found(kind, options.search)) for kind in read_kinds(options.kinds)]
    if options.search is not None and not any(rows for _, rows in tables):
        raise UserError(
            f"--search looks for a word in names and what they are, got {options.search!r}, which none has; try another"
        )
    if asked.json:
        print(json.dumps({kind.name: {with_settings(kind, name): what for name, what in rows.items()} for kind, rows in tables}))
        return
    width = min(WIDEST, columns_of(sys.stdout) or PIPED)
    detailed = bool(options.kinds or options.search or asked.verbose)
    for kind, rows in tables:
        if rows:
            print_heading(kind.name, f"  {kind.about} ({kind.flag})" if width >= 60 else "")
            print(
                "\n".join(line for name, what in rows.items() for line in _lines(kind, name, what, width, detailed=detailed))
                + "\n"
            )
    if not asked.quiet:
        more = "" if detailed else f"{program_name()} list KIND has settings too; "
        print("\n".join(wrap(f"{more}{program_name()} show NAME says all of a name", width)))


def with_settings(kind: Kind, name: str) -> str:
    """A name with its settings and their defaults."""
    settings = [] if kind.table is None else settings_of(kind, name)
    given = [one.name if one.default is None else f"{one.name}={one.default}" for one in settings]
    return f"{name}({', '.join(given)})" if given else name


def _found(kind: Kind, word: str | None) -> dict[str, str]:
    told = {name: kind.describe(name) for name in kind.names()}
    if word is None or word.lower() in kind.name:
        return told
    return {name: what for name, what in told.items() if word.lower() in f"{with_settings(kind, name)} {what}".lower()}


def _lines(kind: Kind, name: str, what: str, width: int, *, detailed: bool) -> list[str]:
    indent = NAME if width >= 60 else 4
    told = wrap(what, width - indent)
    if detailed and (settings := with_settings(kind, name)) != name:
        told += wrap(settings[len(name) :], width - indent, subsequent_indent=" ", break_on_hyphens=False)
    first = [f"  {name:{indent - 2}}{told.pop(0) if told else ''}".rstrip()] if len(name) < indent - 2 else [f"  {name}"]
    return [*first, *(f"{' ' * indent}{line}" for line in told)]
