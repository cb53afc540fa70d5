"""This process itself: one job at a time."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from nas.executors.executor import Work


class Here:
    """A pool without workers: `begin` does the work, and what interrupts it comes through."""

    at_once = 1

    def __init__(self, work: Work) -> None:
        self._work = work

    def begin(self, job: Any) -> Future[Any]:
        """A future that is done."""
        done: Future[Any] = Future()
        try:
            done.set_result(self._work(job))
        except Exception as error:  # as every executor hands it on
            done.set_exception(error)
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass
