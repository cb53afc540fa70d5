"""What `search` takes, and which of it would have no effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nas.commands.option import option
from nas.commands.problem import TrainedProblemOptions
from nas.commands.shared_options import ClassBatchesOptions, OneRateOptions, RecordOptions
from nas.commands.work_options import WorkOptions
from nas.evaluation.together import check_together
from nas.executors.executor import Executor
from nas.objectives import OBJECTIVES
from nas.problem import Problem
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SearchOptions(ClassBatchesOptions, OneRateOptions, WorkOptions, RecordOptions, TrainedProblemOptions):
    """What `search` takes."""

    EPOCHS: ClassVar[int] = 20

    task: str = option("digits(validation=0.4)", "the data; see `run.py list`", components=True)
    strategy: str = option(
        "sedona(pretrain=150,meta_steps=30,inner_steps=3,memory=20,meta_lr=0.05)",
        "how to search; see `run.py list`",
        components=True,
    )
    method: str = option("dgl", "the method that trains what is searched", components=True)
    objectives: tuple[str, ...] = option(("error",), f"what to minimise, error among them: {', '.join(OBJECTIVES)}", metavar="O")
    evaluator: str = option("train", "where scores come from; see `run.py list`", components=True)
    seed: int = option(0, "of the search and of every training in it")
    seeds: int = option(1, "N searches, with seeds from --seed on", metavar="N")
    at_once: int | None = option(
        None, "N decouplings in flight over all processes and hosts of a search (default: as many as --workers)", metavar="N"
    )
    storage: str | None = option(
        None, "also copy each search, while it runs, as a study into this Optuna database, for optuna-dashboard", metavar="URL"
    )


def checked_in_flight(options: SearchOptions, executor: Executor | None, *, one_job: bool) -> int:
    """How many decouplings a search has in flight. Workers that would have nothing to do are a UserError."""
    if options.at_once is not None and options.at_once < 1:
        raise UserError(f"--at-once is how many decouplings are in flight, from 1 on, got {options.at_once}")
    if options.at_once is not None and options.at_once > 1 and one_job:
        raise UserError(
            f"--at-once is how many decouplings are in flight, got {options.at_once} for {options.strategy}, which is one long "
            "job and asks for none; leave it out; with --seeds and --workers several searches are done side by side"
        )
    workers = 1 if executor is None else getattr(executor, "workers", None)
    if options.at_once is not None:
        at_once = options.at_once
    elif one_job:
        at_once = 1
    elif workers is None:
        raise UserError(f"--at-once says how many trials {options.executor} is given at once, got none; add --at-once N")
    else:
        at_once = workers
    busy = options.seeds if at_once == 1 else at_once
    if workers is not None and workers > busy:
        searches = "one search, of one seed" if busy == 1 else f"{busy} searches, one for each seed"
        what = searches if at_once == 1 else f"--at-once {at_once}"
        raise UserError(f"workers are at most as many as have something to do, got {workers} for {what}; give fewer")
    return at_once


def check_how_it_trains(options: SearchOptions, problem: Problem, at_once: int, *, trains: bool, one_job: bool) -> None:
    """Refuse what says how decouplings are trained where none are, and training together where nothing is in flight."""
    if not trains:
        looked_up = f"got the evaluator {options.evaluator}, which looks scores up"
        if options.train_together:
            raise UserError(f"--train-together is for searches that train, {looked_up}; leave it out")
        if options.log is not None:
            raise UserError(f"--log writes the curves of what is trained, {looked_up}; leave it out")
        if options.workers != 1 or options.executor is not None:
            raise UserError(
                f"--workers and --executor are for searches that train, {looked_up}; --at-once alone says how many decouplings "
                "are in flight"
            )
    if options.train_together and one_job:
        raise UserError(
            f"--train-together trains what is in flight in one go, got {options.strategy}, which is one long job and asks for "
            "none; leave it out"
        )
    if options.train_together and at_once == 1:
        raise UserError("--train-together trains what is in flight in one go, got one in flight; add --at-once N")
    if options.train_together:
        space = problem.space
        cuts = next(iter(space.cut_sets.enumerate(max(space.block_counts) - 1)))
        check_together(problem, options.method, Decoupling(cuts, (space.heads[0],) * len(cuts)))


def check_searchable(problem: Problem) -> None:
    """Refuse a search whose answer the method would ignore, and heads that it cannot learn with."""
    point = next(decoupling for decoupling in problem.space.enumerate() if decoupling.cuts or problem.space.size == 1)
    for asked in [point.with_head(head) for head in problem.space.heads]:
        trained = problem.adapt(asked)
        if trained.cuts != asked.cuts or (len(problem.space.heads) > 1 and trained != asked):
            raise UserError(
                f"method {problem.method} trains '{trained}' when '{asked}' is asked for, so this search would have "
                f"no effect; choose another method, or a space with one head, in which only the cuts are searched"
            )
