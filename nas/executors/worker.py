"""What a worker process runs: it is made ready once, and then does one job after the other."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Literal

from methods.training.interruption import ENDING, OWN
from nas.data.worker_process import end_with_parent
from nas.executors.executor import Setup
from nas.notice import heard_notices
from spaces.notation.own_modules import Allowed, allow_only

Kind = Literal["begun", "report", "notice", "answer", "error"]
Message = tuple[Kind, Any]  # from a worker


def serve(connection: Connection, setup: Setup, gpu: str | None, allowed: Allowed | None) -> None:
    """Do the jobs that come until no more do, with the GPU of this name, if there is one, as the only one; names may import
    what is `allowed`.

    Signals that a terminal or a batch system sends to all processes at once are left to the parent, whose own one (`OWN`)
    interrupts the job.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    signal.signal(OWN, _interrupt)
    end_with_parent()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before anything asks for a GPU
    allow_only(allowed)
    try:
        _serve(connection, setup)
    except KeyboardInterrupt:
        sys.exit(128 + OWN)
    except (BrokenPipeError, EOFError):  # no more jobs, or nobody to answer
        pass


def _serve(connection: Connection, setup: Setup) -> None:
    def report(what: str, done: int, total: int, **figures: float) -> None:
        connection.send(("report", (what, done, total, figures)))

    work = None
    while True:
        job = connection.recv()
        connection.send(("begun", None))
        try:
            work = work or setup(report)
            with heard_notices(lambda text: connection.send(("notice", text))):
                message: Message = ("answer", work(job))
        except Exception as error:  # whatever it is belongs to the job, and is raised where that was begun
            message = ("error", portable(error))
        connection.send(message)


def portable(error: Exception) -> Exception:
    """The error as it can be sent, with its traceback as a note; of one that cannot be sent its text."""
    trace = "".join(traceback.format_exception(error))
    try:
        sent = pickle.loads(pickle.dumps(error))
    except Exception:  # whatever the exceptions of libraries do
        sent = RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(f"in a worker:\n{trace}")
    return sent


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
