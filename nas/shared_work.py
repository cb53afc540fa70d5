"""Jobs that all processes share which run the same command, on whatever host: each is done by whoever claims it first."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nas.executors.executor import Lost, Pool
from nas.notice import notice
from nas.records.claim import Claim

POLL_SECONDS = 0.2  # between two looks at what other processes are at


@dataclass(eq=False)
class Shared:
    """A job that is asked for, and what is known of it."""

    job: Any
    name: str
    claim: Claim
    is_done: Callable[[], bool]
    killed: Callable[[Lost, int], None]
    running: Future[Any] | None = None
    answer: Any = None  # None before there is one
    waits: bool = False  # for another process, which has the claim
    lost: list[Lost] = field(default_factory=list)  # the workers that were killed over it


class SharedWork:
    """Hands jobs to the workers of a pool, the oldest first, and leaves to other processes what these are at.

    A worker answers None for a job that another process has claimed: it is asked for again when that process is dead, or has
    given the claim up, unless it is done by then. So is a job whose own worker was killed.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked: list[Shared] = []

    def begin(
        self,
        job: Any,
        name: str,
        claim: Claim,
        *,
        killed: Callable[[Lost, int], None],
        is_done: Callable[[], bool] = lambda: False,
    ) -> Callable[[], Any]:
        """Ask for a job: what is given waits for the worker's answer, or for True where the job `is_done` without a worker.

        `name` is what people are told of it. `killed` hears of a worker that was, and how often that was by now; the job is then
        begun again unless it raises or the job is done.
        """
        one = Shared(job, name, claim, is_done, killed)
        self._asked.append(one)
        self._hand_out()
        return partial(self._wait, one)

    def _wait(self, one: Shared) -> Any:
        told = False
        while one.answer is None:
            running = [other.running for other in self._asked if other.running]
            if not running and not told and (holder := one.claim.holder()):
                notice(f"waiting for {holder}, which has {one.name}")
                told = True
            if any(other.waits for other in self._asked):
                if running:
                    wait(running, POLL_SECONDS, FIRST_COMPLETED)
                else:
                    time.sleep(POLL_SECONDS)
            elif running:
                wait(running, return_when=FIRST_COMPLETED)
            self._hand_out()
        self._asked.remove(one)
        return one.answer

    def _hand_out(self) -> None:
        """Hear what workers answered, and give them what is next, as long as there is room."""
        self._hear()
        for one in self._asked:
            if one.answer is not None or one.running:
                continue
            if one.is_done():
                one.answer, one.waits = True, False
            elif self._has_room() and not (one.waits and one.claim.holder()):
                one.running, one.waits = self._pool.begin(one.job), False
                self._hear()  # where this process itself is the worker, that was the work

    def _has_room(self) -> bool:
        most = self._pool.at_once
        return most is None or sum(one.running is not None for one in self._asked) < most

    def _hear(self) -> None:
        for one in self._asked:
            if one.running is None or not one.running.done():
                continue
            running, one.running = one.running, None
            try:
                one.answer = running.result()
                one.waits = one.answer is None
            except Lost as lost:
                one.lost.append(lost)
                one.killed(lost, len(one.lost))
