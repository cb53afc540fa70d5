"""`run.py runs list` and `run.py runs clean`: shows what lies below the folder of runs, and removes what is chosen."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

from nas.cli.config import Invocation
from nas.cli.terminal import columns_of
from nas.commands.runs import RunsOptions
from nas.duration import duration
from nas.records.running import Running
from nas.report.short_names import short_decoupling, short_names
from nas.report.table import table
from nas.runs.folders import RunFolder, chosen, remove, run_folders
from spaces.notation.errors import UserError

DAY = 24 * 60 * 60
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def run_runs(asked: Invocation) -> None:
    """List the runs, or remove those that are chosen."""
    options: RunsOptions = asked.options
    choices: dict[str, Any] = {
        "unfinished": options.unfinished,
        "without_row": options.without_row,
        "everything": options.all,
        "older_than": None if options.older_than is None else time.time() - DAY * _days(options.older_than),
    }
    if options.action == "list" and (options.dry_run or any(one not in (False, None) for one in choices.values())):
        raise UserError("runs list shows all runs, got a choice or --dry-run, which only runs clean takes; leave it out")
    folders = run_folders(options.runs, options.results)
    if options.action == "list":
        _show(folders, f"in {options.runs}", asked)
        return
    wanted = chosen(folders, **choices)
    gone = remove(wanted, options.results, others=[folder for folder in folders if folder not in wanted], dry_run=options.dry_run)
    _show(gone, f"{'would be ' if options.dry_run else ''}removed from {options.runs}", asked)


def _days(days: float) -> float:
    if not 0 <= days < float("inf"):
        raise UserError(f"--older-than is a number of days from 0 on, got {days}; give --older-than 30")
    return days


def _show(folders: list[RunFolder], where: str, asked: Invocation) -> None:
    total = sum(folder.size_bytes for folder in folders)
    if asked.json:
        print(json.dumps({"runs": [_facts(folder) for folder in folders], "size_bytes": total}))
        return
    if folders:
        names = short_names({folder.method for folder in folders if folder.method})
        print(
            table(
                ["run", "state", "size", "days old", "method", "seed", "rows in", "task", "decoupling"],
                [
                    [
                        folder.name,
                        _state(folder),
                        size(folder.size_bytes),
                        f"{(time.time() - folder.changed) / DAY:.1f}",
                        names.get(folder.method, ""),
                        folder.seed,
                        " ".join(folder.rows),
                        folder.task.partition("(")[0],
                        short_decoupling(folder.decoupling) if folder.decoupling else "",
                    ]
                    for folder in folders
                ],
                columns_of(sys.stdout),
            )
        )
        print()
    print(f"{len(folders)} run{'s' * (len(folders) != 1)}, {size(total)}, {where}")


def _facts(folder: RunFolder) -> dict[str, Any]:
    return {**asdict(folder), "path": str(folder.path), "name": folder.name}


def _state(folder: RunFolder) -> str:
    if folder.running:
        return _progress(folder.running)
    kind = "" if folder.kind == "run" else f" {folder.kind}"
    epoch = f" after epoch {folder.epoch:.3g}" if folder.state == "unfinished" and folder.epoch else ""
    return folder.state + kind + epoch + (f", {folder.in_use} has it" if folder.in_use else "")


def _progress(running: Running) -> str:
    """How far the process that is at it has come."""
    steps = "" if running.iteration is None else f" {running.iteration} of {running.iterations} iterations"
    left = "" if running.seconds_left is None else f", {duration(running.seconds_left)} left"
    return f"running{steps}{left}, by {running.who} on {running.where}"


def size(number: float) -> str:
    """Bytes as people read them."""
    for unit in UNITS:
        if number < 1024 or unit == UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
