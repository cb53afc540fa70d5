"""The options of who does the runs of a command, and how much it may take."""

from __future__ import annotations

from dataclasses import dataclass

from nas.budget import Budget
from nas.commands.option import option
from nas.executors import EXECUTORS
from nas.executors.executor import Executor
from nas.executors.local import Local
from spaces.notation.errors import UserError


@dataclass(frozen=True, kw_only=True)
class BudgetOptions:
    """How much a command may take; no number in a row depends on it."""

    time: str | None = option(
        None,
        "begin nothing more after this time, such as 90 (seconds), 15m or 2h, save what runs, and exit with code 75; the same "
        "command goes on",
        metavar="T",
    )
    max_failures: int | None = option(None, "stop once so many runs have failed", metavar="N")
    retries: int | None = option(
        None,
        "try a run that was killed or ran out of memory again, N times in all, and count it as failed after that; one whose "
        "loss is not finite is never tried again",
        metavar="N",
    )


@dataclass(frozen=True, kw_only=True)
class WorkOptions(BudgetOptions):
    """Who does the runs, and the budget; no number in a row depends on it."""

    workers: int = option(
        1,
        "do so many runs at once, each in a process of its own with --threads threads, and with one of several GPUs; short for "
        "--executor 'local(workers=W)'",
        metavar="W",
        excludes="executor",
    )
    executor: str | None = option(
        None, "who does the runs: local(...) or ray(...); see `run.py list`", metavar="E", components=True, excludes="executor"
    )
    train_together: bool = option(
        False,
        "train the decouplings of a method and seed in one go, those that begin alike sharing their first blocks, which is "
        "exact: the same rows in less time, for more memory",
    )


def read_executor(options: WorkOptions) -> Executor | None:
    """What --workers or --executor asks for; None for this process itself."""
    if options.train_together and (options.executor is not None or options.workers > 1):
        raise UserError("--train-together is one process, got --workers or --executor as well; leave one of them out")
    if options.executor is not None:
        return EXECUTORS.build(options.executor)
    if options.workers < 1:
        raise UserError(f"--workers is how many processes work, from 1 on, got {options.workers}")
    return Local(workers=options.workers) if options.workers > 1 else None


def num_processes(executor: Executor | None) -> int:
    """How many do the runs; 1 where the executor does not say."""
    return 1 if executor is None else getattr(executor, "workers", None) or 1


def read_budget(options: BudgetOptions) -> Budget:
    """The limits, whose time begins now."""
    return Budget(options.time, options.max_failures, options.retries)
