"""What runs jobs: in this process, in others of this machine, or on other machines."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from nas.problem import Report

Work = Callable[[Any], Any]  # what a worker does with a job, and what it answers
Setup = Callable[[Report], Work]  # called once in each worker, which keeps what it makes


class Lost(Exception):
    """The process that had a job ended without an answer: `reason`, as `SIGKILL` or `exit code 1`, and on which `host`."""

    def __init__(self, reason: str, host: str) -> None:
        super().__init__(reason, host)
        self.reason, self.host = reason, host

    def __str__(self) -> str:
        return f"killed ({self.reason}) on {self.host}"


class Pool(Protocol):
    """Workers that are ready. Jobs run side by side, `at_once` of them at most (None: as many as there is room for), begun in the
    order of asking.

    A job's future has what its work answered, or raises what the work raised, or `Lost` where its worker was killed: the other
    jobs go on, and the next one gets a new worker. Leaving the pool ends the workers; where it is left with an exception,
    Ctrl-C among them, what runs is interrupted as by a signal, so that it saves its checkpoint.
    """

    @property
    def at_once(self) -> int | None: ...

    def begin(self, job: Any) -> Future[Any]: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


@runtime_checkable
class Executor(Protocol):
    """Where the workers of a command are: `open` makes them ready.

    `setup`, jobs and answers are sent to other processes, so they are small things that pickle: options, not networks. What a
    worker reports comes to `report`, from any thread, with the figure `worker`, from 1 on; what it tells people is told in this
    process. `device` is what the command was told; with `auto` and `cuda` the executor chooses a worker's GPU.
    """

    def open(self, setup: Setup, report: Report, device: str) -> Pool: ...
