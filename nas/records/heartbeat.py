"""What this process tells the others of a store while it works: which command, which runs, how far each is."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from nas.records.beats import Beats
from nas.records.pace import Pace
from spaces.notation.errors import UserError

SECONDS_TO_FIRST, SECONDS_BETWEEN = 1.0, 3.0  # what is over sooner is never told
SECONDS_TO_TRY_AGAIN = 60.0  # after something that could not be told
SECONDS_TO_END = 1.0  # that the end of work waits for a store that does not answer
OLDEST = 7 * 24 * 60 * 60.0  # seconds after which what a killed process told is removed
MOST = 1000  # tasks that are told

Report = Callable[..., None]  # nas.problem.Report, which is made of records


class Task:
    """Something that this process is at: a run or a command, as its `facts` say, and how far it is.

    `tell` costs next to nothing, so that each step can be told. What is told to others is `told`, as JSON has it.
    """

    def __init__(self, facts: Mapping[str, object], *, skips: bool = False) -> None:
        self.facts = {name: str(value) for name, value in facts.items() if value is not None}
        self.since, self._skips = datetime.now(UTC).isoformat(sep=" ", timespec="seconds"), skips
        self._what, self._done, self._total = "", 0, 0
        self._figures: dict[str, float] = {}
        self._pace = Pace(skips=skips)

    def tell(self, what: str, done: int, total: int, figures: Mapping[str, float]) -> None:
        """So far it is; figures that are told now and then, such as the validation error, stay until they are told again."""
        if what != self._what:
            self._what, self._pace, self._figures = what, Pace(skips=self._skips), {}
        self._pace.tell(done)
        self._figures = {**self._figures, **figures}
        self._done, self._total = done, total

    def told(self) -> dict[str, Any]:
        """Facts, beginning, steps, figures that are finite, and the seconds that the rest will take where that can be said."""
        steps = {"what": self._what, "done": self._done, "total": self._total} if self._total else {}
        left = self._pace.seconds_left(self._total)
        return {
            **self.facts,
            "since": self.since,
            **steps,
            "figures": {name: value for name, value in self._figures.items() if math.isfinite(value)},
            **({} if left is None else {"seconds_left": round(left, 1)}),
        }


class Heartbeat:
    """Tells the store every few seconds, from a thread of its own, what is inside `telling`; nothing where nothing is.

    So training never waits for it: not for a slow disk, and not for a database that does not answer. What cannot be told, as in
    a folder that may only be read, is not, and the work goes on. No row depends on it. A process that was forked tells nothing
    of what its parent is at.
    """

    def __init__(self, beats: Beats) -> None:
        self.beats = beats
        self._reset()

    def _reset(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._tasks: list[Task] = []
        self._ended: threading.Event | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def telling(self, *tasks: Task) -> Iterator[None]:
        """Tell of these until the end of the block."""
        if self._process != os.getpid():
            self._reset()
        with self._lock:
            self._tasks = [*self._tasks, *tasks]
            if self._thread is None:
                self._begin()
        try:
            yield
        finally:
            with self._lock:
                self._tasks = [task for task in self._tasks if not any(task is one for one in tasks)]
                if not self._tasks:
                    self._end()

    def task_of(self, run: str) -> Task | None:
        """That of the run which is told."""
        return next((task for task in self._tasks if task.facts.get("run") == run), None)

    def steps(self, report: Report) -> Report:
        """A report that also tells the steps of the command that is told, if one is."""

        def told(what: str, done: int, total: int, **figures: float) -> None:
            command = next((task for task in self._tasks if "command" in task.facts), None)
            if command and "failed" not in figures:  # which is of the end of one run, not of all
                command.tell(what, done, total, figures)
            report(what, done, total, **figures)

        return told

    def text(self) -> str:
        """What is told now."""
        process = {"process": os.getpid(), "host": socket.gethostname()}
        return json.dumps({**process, "tasks": [task.told() for task in self._tasks[:MOST]]})

    def _begin(self) -> None:
        host = re.sub(r"[^\w.-]", "_", socket.gethostname())[:60]
        name, self._ended = f"{host}-{os.getpid()}-{os.urandom(4).hex()}", threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(name, self._ended), name="heartbeat", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        assert self._thread is not None and self._ended is not None, "begun with the first task"
        thread, self._thread = self._thread, None
        self._ended.set()
        thread.join(SECONDS_TO_END)

    def _beat(self, name: str, ended: threading.Event) -> None:
        pause, is_told = SECONDS_TO_FIRST, False
        while not ended.wait(pause):
            try:
                if not is_told:
                    self._remove_old()
                is_told = True
                self.beats.write(name, self.text())
                pause = SECONDS_BETWEEN
            except (OSError, UserError):
                pause = SECONDS_TO_TRY_AGAIN
        if is_told:
            with suppress(OSError, UserError):
                self.beats.remove(name)

    def _remove_old(self) -> None:
        """What processes that were killed long ago told, or of runs that this one has now."""
        mine = {task.facts.get("run") for task in self._tasks} - {None}
        for beat in self.beats.read():
            told = runs_of(beat.text)
            if not beat.is_alive and (beat.seconds_ago > OLDEST or (told and mine >= told)):
                self.beats.remove(beat.name)


def runs_of(text: str) -> set[str]:
    """The runs that were told; none of a text that is none of ours."""
    with suppress(ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return {task["run"] for task in json.loads(text)["tasks"] if "run" in task}
    return set()
