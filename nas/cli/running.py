"""Runs one command, and tells a person how it ended."""

from __future__ import annotations

import sys

import yaml

from methods.training.loop import Diverged
from methods.training.memory import out_of_memory
from nas.cli.compare import run_compare
from nas.cli.config import parse, settings_of
from nas.cli.evaluate import run_evaluate
from nas.cli.listing import run_list
from nas.cli.output import command_line
from nas.cli.predict import run_predict
from nas.cli.process import Ended, signals_raise_ended, unbroken_streams
from nas.cli.profile import run_profile
from nas.cli.runs import run_runs
from nas.cli.search import run_search
from nas.cli.terminal import plain_output
from nas.notice import shown_notices
from spaces.notation.errors import UserError, one_line
from spaces.notation.own_modules import only_allowed

INTERRUPTED = 130


def run(argv: list[str]) -> int:
    """Run one command; the exit code."""
    with unbroken_streams(), plain_output(), shown_notices(), signals_raise_ended():
        return _run(argv)


def _run(argv: list[str]) -> int:
    try:
        options = parse(argv)
        if getattr(options, "print_config", False):
            print(yaml.safe_dump(settings_of(options), sort_keys=False), end="")
            return 0
        commands = {"search": run_search, "evaluate": run_evaluate, "profile": run_profile, "compare": run_compare,
                    "predict": run_predict, "runs": run_runs, "list": run_list}
        with only_allowed(options.allow, options.typed):
            commands[options.command](options)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt as ended:
        by, code = (ended.by, ended.exit_code) if isinstance(ended, Ended) else ("", INTERRUPTED)
        print(f"\ninterrupted{by}{going_on(argv)}", file=sys.stderr)
        return code
    except BrokenPipeError:  # of stdout, which has been read as far as someone wanted
        return 0
    except (UserError, Diverged) as error:
        print(f"run.py: {one_line(str(error))}", file=sys.stderr)
    except (MemoryError, RuntimeError, OSError) as error:
        reason = out_of_memory(error)
        if reason is None and not isinstance(error, OSError):
            raise
        told = f"out of memory: {reason}" if reason else error
        print(f"run.py: {one_line(f'{told}{going_on(argv)}')}", file=sys.stderr)
    return 2


def going_on(argv: list[str]) -> str:
    """What a command that writes rows says when it ends early."""
    return f"; finished rows are kept, go on with: {command_line()}" if argv[:1] in (["search"], ["evaluate"]) else ""
