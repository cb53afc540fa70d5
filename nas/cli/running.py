"""Runs one command, and tells a person how it ended."""

from __future__ import annotations

import gc
import shlex
import sys
from importlib import import_module
from types import ModuleType

from methods.training.diverged import Diverged
from methods.training.memory import out_of_memory
from nas.budget import TimeUp
from nas.cli.next_steps import typed_here
from nas.cli.output import command_line
from nas.cli.process import Ended, signals_raise_ended, unbroken_streams
from nas.cli.program import COMMANDS, names_no_command, program, program_name
from nas.cli.terminal import plain_output
from nas.notice import shown_notices
from nas.records.stores.url import redacted
from spaces.notation.errors import UserError, one_line
from spaces.notation.own_modules import only_allowed

INTERRUPTED = 130
FILES = {"list": "listing", "export-results": "export_results"}  # of commands whose names a file here cannot have


def run(argv: list[str]) -> int:
    """Run one command; the exit code."""
    if argv and argv[0] in COMMANDS:
        _import_what_takes_time(argv[0])
    with unbroken_streams(), plain_output(), signals_raise_ended():
        return _run(argv)


def _run(argv: list[str]) -> int:
    try:
        if names_no_command(argv):
            program()[0].parse_args(argv)
        from nas.cli.config import parse

        asked = parse(argv)
        if asked.print_config:
            import yaml

            print(yaml.safe_dump(asked.settings, sort_keys=False), end="")
            return 0
        shown = shown_notices(notices=not asked.quiet, details=asked.verbose)
        with shown, only_allowed(getattr(asked.options, "allow", ()), asked.typed):
            getattr(_file(asked.command.name), f"run_{asked.command.name.replace('-', '_')}")(asked)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt as ended:
        said, code = (ended.said, ended.exit_code) if isinstance(ended, Ended | TimeUp) else ("interrupted", INTERRUPTED)
        print(f"\n{said}{going_on(argv)}", file=sys.stderr)
        return code
    except BrokenPipeError:  # of stdout, which has been read as far as someone wanted
        return 0
    except (UserError, Diverged) as error:
        print(f"{program_name()}: {redacted(one_line(str(error)))}", file=sys.stderr)
    except (MemoryError, RuntimeError, OSError) as error:
        reason = out_of_memory(error)
        if reason is None and not isinstance(error, OSError):
            raise
        told = f"out of memory: {reason}" if reason else error
        print(f"{program_name()}: {redacted(one_line(f'{told}{going_on(argv)}'))}", file=sys.stderr)
    return 2


def _import_what_takes_time(command: str) -> None:
    """Before signals are raised as exceptions, so that one still ends the program at once. Of what imports make nothing is
    garbage, and looking for some among the objects of torch would take a tenth of a second."""
    collects = gc.isenabled()
    gc.disable()
    try:
        import_module("nas.cli.config")
        _file(command)
    finally:
        if collects:
            gc.enable()


def _file(command: str) -> ModuleType:
    """The file that runs the command."""
    return import_module(f"nas.cli.{FILES.get(command, command)}")


def going_on(argv: list[str]) -> str:
    """What a command that writes rows says when it ends early."""
    if argv[:1] not in (["search"], ["evaluate"]):
        return ""
    return f"; finished rows are kept, go on with: {shlex.join(typed_here(shlex.split(command_line())))}"
