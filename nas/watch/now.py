"""What runs now, what has ended and what failed, as the page shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nas.charts.results import Given
from nas.records.beats import Beat
from nas.records.partial import is_partial
from nas.records.running import AtWork, Running, RunningCommand, at_work
from nas.records.status import OK
from nas.report.short_names import short_decoupling, short_names
from spaces.notation.component import Component
from spaces.notation.errors import UserError

MOST = 200  # failed runs that are listed, the last ones
COUNTED = ("runs", "trials")
# What a command says of the host that it is given on, and not of what it does.
HERE = re.compile(r" (--(runs|workers|executor|device|threads|data-dir) ('[^']*'|\S+)|--json|-q|--quiet|-v|--verbose)(?= |$)")


def now_of(given: Given, beats: Sequence[Beat]) -> dict[str, Any]:
    """Runs that processes are at, commands and how far they are, and rows that say how a run failed; all as plain data.

    `asked` is how many runs or trials the running commands are to make, and `finished` how many of these are done; without a
    command that says so None, and how many rows there are.
    """
    rows = [*given.evaluate, *given.search]
    found = at_work(beats, {row["run"] for row in rows if row.get("run") and not is_partial(row)})
    told = {run.method for run in found.runs if _is_component(run.method)}
    names = short_names(told | {row["method"] for row in rows})
    asked = _each_once(found)
    seconds = [one.seconds_left for one in asked]
    failed = [row for row in rows if row["status"] != OK]
    return {
        "finished": sum(one.done for one in asked) if asked else len(rows),
        "asked": sum(one.total for one in asked) or None,
        "seconds_left": max(known) if (known := [one for one in seconds if one is not None]) else None,
        "commands": [_command(one) for one in found.commands],
        "runs": [_run(one, names) for one in found.runs],
        "failed": [
            {
                "run": row.get("run", ""),
                "method": names[row["method"]],
                "decoupling": _short(row["decoupling"]),
                "seed": row["seed"],
                "reason": row["status"],
                "attempts": row.get("attempts") or "1",
                "where": row.get("host", ""),
            }
            for row in failed[-MOST:]
        ],
        "failed_runs": len(failed),
    }


def _each_once(found: AtWork) -> list[RunningCommand]:
    """The commands that run and count what they do; those that several processes share once, as the furthest tells."""
    furthest: dict[str, RunningCommand] = {}
    for one in found.commands:
        if not one.is_killed and one.total and one.what in COUNTED:
            there = furthest.setdefault(HERE.sub("", one.command), one)
            furthest[HERE.sub("", one.command)] = one if one.done > there.done else there
    return list(furthest.values())


def _command(one: RunningCommand) -> dict[str, Any]:
    return {
        "command": one.command,
        "what": one.what,
        "done": one.done,
        "total": one.total,
        "best_error": one.figures.get("best_error"),
        **_told(one),
    }


def _run(one: Running, names: dict[str, str]) -> dict[str, Any]:
    return {
        "run": one.run,
        "method": names.get(one.method, one.method),
        "decoupling": _short(one.decoupling),
        "seed": one.seed,
        "iteration": one.iteration,
        "iterations": one.iterations,
        "loss": one.loss,
        "validation_error": one.validation_error,
        **_told(one),
    }


def _told(one: Running | RunningCommand) -> dict[str, Any]:
    heard = datetime.now(UTC) - timedelta(seconds=one.seconds_ago)
    return {
        "who": one.who,
        "where": one.where,
        "since": one.since,
        "heard": heard.isoformat(sep=" ", timespec="seconds"),
        "seconds_left": one.seconds_left,
        "killed": one.is_killed,
    }


def _is_component(method: str) -> bool:
    """Whether this is a method as rows have it, and not what another file holds."""
    try:
        Component.parse(method)
    except UserError:
        return False
    return True


def _short(decoupling: str) -> str:
    """In short notation, where a file holds a decoupling."""
    try:
        return short_decoupling(decoupling)
    except UserError:
        return decoupling
