"""What is running: the runs and commands that the processes of results stores told last, and those that were killed at it."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nas.records.beats import Beat

LONGEST = 400  # characters of a text that a process told


@dataclass(frozen=True)
class Running:
    """A run that a process trains or measures; or trained when it was killed.

    run           its name, as the column `run` of its row will have it
    who, where    the process, as `process 123`, and its host
    since         when the process began with it, in UTC
    iteration     how many of the `iterations` are done, and the `loss` of the last stage there; None before the first
    validation_error  the last that was measured, a share in 0..1
    seconds_left  until the training is done, at the pace so far; None where nobody can say
    seconds_ago   when all this was told
    is_killed     whether the process is gone
    """

    run: str
    method: str
    decoupling: str
    task: str
    seed: str
    who: str
    where: str
    since: str
    iteration: int | None
    iterations: int | None
    loss: float | None
    validation_error: float | None
    seconds_left: float | None
    seconds_ago: float
    is_killed: bool


@dataclass(frozen=True)
class RunningCommand:
    """A command that a process runs, or ran when it was killed: `done` of `total` steps of `what`, such as runs or trials, are
    done; 0 of 0 where nothing was said yet. `figures` are of the moment, by name, as the lowest error."""

    command: str
    who: str
    where: str
    since: str
    what: str
    done: int
    total: int
    figures: dict[str, float]
    seconds_left: float | None
    seconds_ago: float
    is_killed: bool


@dataclass(frozen=True)
class AtWork:
    """All that is running, oldest first, and behind it what was killed."""

    commands: tuple[RunningCommand, ...] = ()
    runs: tuple[Running, ...] = ()


def at_work(beats: Iterable[Beat], done: Container[str] = ()) -> AtWork:
    """What the processes that told this are at. What was killed is left out once another process has it, or its run is one of
    those that are `done`."""
    commands: list[RunningCommand] = []
    runs: list[Running] = []
    for beat in beats:
        with suppress(ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):  # none of ours
            of_beat = _read(beat)
            commands += of_beat.commands
            runs += of_beat.runs
    lively_commands = {command.command for command in commands if not command.is_killed}
    lively_runs = {run.run for run in runs if not run.is_killed}
    with_steps = {(command.command, command.where) for command in commands if command.total}
    commands = [
        one
        for one in commands
        if (one.total or (one.command, one.where) not in with_steps)  # that of one that waits for its workers
        and not (one.is_killed and one.command in lively_commands)
    ]
    runs = [one for one in runs if not (one.is_killed and (one.run in lively_runs or one.run in done))]
    commands.sort(key=lambda one: (one.is_killed, one.since))
    runs.sort(key=lambda one: (one.is_killed, one.since))
    return AtWork(tuple(commands), tuple(runs))


def _read(beat: Beat) -> AtWork:
    told = json.loads(beat.text)
    commands, runs = [], []
    for task in told["tasks"]:
        common: dict[str, Any] = {
            "who": f"process {int(told['process'])}",
            "where": _text(told, "host"),
            "since": _text(task, "since"),
            "seconds_left": None if beat.is_alive is False else _left(task, beat.seconds_ago),
            "seconds_ago": beat.seconds_ago,
            "is_killed": not beat.is_alive,
        }
        done, total = _count(task, "done"), _count(task, "total")
        figures = {str(name): float(value) for name, value in task["figures"].items()}
        if "command" in task:
            command = _text(task, "command", 4 * LONGEST)
            commands.append(
                RunningCommand(
                    command=command, what=_text(task, "what"), done=done or 0, total=total or 0, figures=figures, **common
                )
            )
        else:
            about: dict[str, Any] = {name: _text(task, name) for name in ("run", "method", "decoupling", "task", "seed")}
            runs.append(
                Running(
                    **about,
                    iteration=done,
                    iterations=total,
                    loss=figures.get("loss"),
                    validation_error=figures.get("validation_error"),
                    **common,
                )
            )
    return AtWork(tuple(commands), tuple(runs))


def _text(told: Mapping[str, object], name: str, longest: int = LONGEST) -> str:
    """One line of what a process told, which a file may hold of anybody."""
    return "".join(character for character in str(told.get(name, ""))[:longest] if character.isprintable())


def _count(told: Mapping[str, Any], name: str) -> int | None:
    return int(told[name]) if name in told else None


def _left(told: Mapping[str, Any], seconds_ago: float) -> float | None:
    left = told.get("seconds_left")
    return None if left is None else max(0.0, float(left) - seconds_ago)
