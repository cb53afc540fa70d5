"""`run.py show NAME`: all that there is to say of a name."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from textwrap import wrap

from nas.catalogue.kinds import KINDS, kinds_of
from nas.catalogue.settings import Setting
from nas.catalogue.shown import Shown, shown
from nas.cli.config import Invocation
from nas.cli.listing import PIPED, WIDEST
from nas.cli.next_steps import command_lines
from nas.cli.program import program_words
from nas.cli.styled import print_heading
from nas.cli.terminal import columns_of
from nas.commands.names import ShowOptions


def run_show(asked: Invocation) -> None:
    """Show the name, of each kind that has it."""
    options: ShowOptions = asked.options
    found = [shown(kind, name) for kind, name in kinds_of(options.name)]
    if asked.json:
        print(json.dumps([asdict(one) | {"written": one.written, "command": _command(one)} for one in found]))
        return
    width = min(WIDEST, columns_of(sys.stdout) or PIPED)
    for number, one in enumerate(found):
        if number:
            print()
        _show(one, width)


def _show(one: Shown, width: int) -> None:
    kind = KINDS[one.kind]
    print_heading(f"{kind.one} {one.name}", f"  ({kind.flag})")
    print("\n".join(wrap(one.about, width)))
    for paragraph in filter(None, one.text.split("\n\n")):
        print("\n" + "\n".join(wrap(" ".join(paragraph.split()), width)))
    if one.settings:
        print()
        print_heading("settings")
        print("\n".join(line for setting in one.settings for line in _setting(setting, width)))
    facts = {"size": _size(one), "papers": ", ".join(one.papers), "experiments": ", ".join(one.experiments)}
    facts |= {"equations": f"docs/methods.md#{one.name.replace('_', '-')}"} if one.kind == "methods" else {}
    if any(facts.values()):
        print()
    for name, said in facts.items():
        if said:
            print("\n".join(wrap(f"{name:13}{said}", width, subsequent_indent=" " * 13, break_on_hyphens=False)))
    print()
    print_heading("example")
    print(command_lines([*program_words(), *one.example]))


def _setting(one: Setting, width: int) -> list[str]:
    default = "has to be given" if one.default is None else f"default {one.default}"
    kind = f"{one.type}, " if one.type and one.type not in ("True or False",) else ""
    begin = f"  {one.name:15}" if len(one.name) < 15 else f"  {one.name}  "
    lines = wrap(f"{kind}{default}", width - len(begin), break_on_hyphens=False)
    told = [begin + lines[0], *(" " * 17 + line for line in lines[1:])] if lines else [begin]
    return told + [" " * 17 + line for line in wrap(one.meaning, max(20, width - 17))]


def _size(one: Shown) -> str:
    if one.size is None:
        return ""
    parts = [f"{one.size.parameters:,} parameters"]
    parts += [f"{one.size.units} units"] if one.size.units is not None else []
    parts += [f"{one.size.decouplings:,} decouplings"] if one.size.decouplings is not None else []
    return f"{', '.join(parts)} ({one.size.of})"


def _command(one: Shown) -> str:
    return shlex.join([*program_words(), *one.example])
