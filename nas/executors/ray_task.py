"""What a task of Ray runs: one job, in a process that Ray keeps for the next."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from typing import Any, Literal

from nas.executors.executor import Setup, Work
from nas.executors.worker import portable
from nas.notice import heard_notices
from nas.problem import silent
from spaces.notation.errors import UserError
from spaces.notation.own_modules import Allowed, allow_only

_made: dict[int, Work] = {}  # of this process, by what it was made of


@dataclass(frozen=True)
class Sent:
    """What makes a process ready: the setup of its work, what names may import, and the folder that relative paths are of, None
    for the one that Ray unpacked."""

    setup: Setup
    allowed: Allowed | None
    folder: str | None

    def make(self) -> Work:
        """The work, in this process."""
        if self.folder is not None:
            try:
                os.chdir(self.folder)
            except OSError as error:
                raise UserError(
                    f"every node of Ray needs the folder in which the command is given, got {self.folder}: {error.strerror}; "
                    "give it in one that all share, or ray(working_dir=...) and absolute paths"
                ) from None
        return self.setup(silent)


def do(sent: Sent, job: Any) -> tuple[Literal["answer", "error"], Any, list[str]]:
    """What the job answers, or its error, and what it told people."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # by which Ray cancels
    allow_only(sent.allowed)
    notices: list[str] = []
    try:
        key = hash((repr(sent.setup), sent.folder))
        work = _made.get(key) or _made.setdefault(key, sent.make())
        with heard_notices(notices.append):
            return "answer", work(job), notices
    except Exception as error:  # whatever it is belongs to the job, and is raised where that was begun
        return "error", portable(error), notices
