"""Finishing runs: all that are wanted, side by side where there are workers, and shared with whoever else is at them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from nas.budget import Budget, Failures
from nas.duration import duration
from nas.evaluation.evaluator import Evaluator
from nas.executors.executor import Lost, Pool
from nas.executors.here import Here
from nas.notice import detail, notice
from nas.problem import Report, report_end
from nas.records.status import OK
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


@dataclass(frozen=True)
class Run:
    """One evaluation that is wanted."""

    evaluator: Evaluator
    decoupling: Decoupling

    @property
    def row(self) -> dict[str, str] | None:
        """The run's row; None before it has one."""
        return self.evaluator.recorded(self.decoupling)

    @property
    def is_done(self) -> bool:
        """Whether its row and all that it is asked for are there."""
        return self.evaluator.is_done(self.decoupling)

    @property
    def what(self) -> str:
        """It in a few words."""
        return self.evaluator.problem.named(self.decoupling)

    def attempt(self, *, waits: bool) -> bool:
        """Do it unless it is done. False where another process has it and nobody `waits` for that."""
        claim = self.evaluator.claim(self.decoupling)
        if waits:
            claim.__enter__()
        elif not claim.try_take():
            return False
        try:
            if not self.is_done:  # still, now that nobody else has it
                self.evaluator.run(self.decoupling)
        finally:
            claim.release()
        return True


def attempt(asked: tuple[Run, bool]) -> bool:
    """The work of a pool that is this process itself."""
    run, waits = asked
    return run.attempt(waits=waits)


HERE = Here(attempt)


def finish(
    runs: Iterable[Run],
    report: Report,
    pool: Pool = HERE,
    *,
    job: Callable[[Run, bool], Any] = lambda run, waits: (run, waits),
    budget: Budget | None = None,
    failures: Failures | None = None,
) -> None:
    """Train what has no row yet, and measure what is not measured. What another process is at is left to it, and waited for at
    the end. What may be tried again is, after the others.

    `job` is a run as the pool takes it, and whether to wait for whoever has it. The work of the pool answers whether it could
    have the run. Runs whose worker was killed and that are not tried again are a UserError, once the others are done.
    """
    budget = budget or Budget()
    failures = failures or Failures(budget)
    waiting, begun, taken = deque(runs), dict[Future[bool], Run](), deque[Run]()
    kills, left = Counter[int](), list[tuple[Run, Lost]]()
    done, total = 0, len(waiting)
    began: dict[int, float] = {}  # the clock when each was first handed to the pool

    def end(run: Run, *, was_there: bool = False) -> None:
        nonlocal done
        done += 1
        if row := run.row:
            _tell(run, row, None if was_there else time.monotonic() - began.get(id(run), time.monotonic()))
            report_end(report, run.what, float(row["validation_error"]), failed=row["status"] != OK)
        report("runs", done, total)
        if row:
            failures.add(run.what, row["status"])

    if waiting:
        report("runs", done, total)
    while waiting or begun or taken:
        while waiting and (pool.at_once is None or len(begun) < pool.at_once):
            run = waiting.popleft()
            if run.is_done:
                run.evaluator.tidy(run.decoupling)
                end(run, was_there=True)
            else:
                began.setdefault(id(run), time.monotonic())
                begun[pool.begin(job(run, False))] = run
        if taken and not begun and not waiting:
            run = taken.popleft()
            waiting.extend(taken)
            taken.clear()
            begun[pool.begin(job(run, True))] = run
        for future in wait(begun, return_when=FIRST_COMPLETED).done:
            run = begun.pop(future)
            try:
                if not future.result():
                    taken.append(run)
                elif run.evaluator.is_to_be_repeated(run.decoupling):
                    waiting.append(run)
                else:
                    end(run)
            except Lost as lost:
                kills[id(run)] += 1
                if run.is_done:
                    end(run)
                elif budget.retries is None or kills[id(run)] > budget.retries + 1:
                    left.append((run, lost))
                    notice(f"the worker of {run.what} was {lost}; its run is left, and its checkpoint, and the others go on")
                else:
                    run.evaluator.record_killed(run.decoupling, lost.reason, lost.host)
                    again = not run.is_done
                    notice(f"the worker of {run.what} was {lost}; {'it is tried again' if again else 'it has failed'}")
                    if again:
                        waiting.append(run)
                    else:
                        end(run)
    if left:
        raise UserError(
            f"{len(left)} run{'s have' if len(left) > 1 else ' has'} no row, the first is {left[0][0].what}, whose worker was "
            f"{left[0][1]}, as happens when memory is short; give the same command to go on, and --retries to try such runs again"
        )


def _tell(run: Run, row: Mapping[str, str], seconds: float | None) -> None:
    """What those who want to know more are told of a run that has its row; of one that failed just now, everybody is."""
    if seconds is None:
        detail(f"{run.what} is there already: run {row['run']}")
    elif row["status"] != OK:
        notice(f"{run.what} failed: {row['status']} (run {row['run']})")
    else:
        detail(f"{run.what} took {duration(seconds)}: run {row['run']}")
