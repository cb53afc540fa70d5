"""A plan: the runs that a command would do, and what they would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from methods.training.stages.stage_checkpoints import has_checkpoint
from nas.evaluation.evaluator import Evaluator
from nas.plans.run_costs import Estimate
from nas.runs.folders import CHECKPOINT
from spaces.decoupling import Decoupling

State = Literal["there", "claimed", "to measure", "unfinished", "to train"]


@dataclass(frozen=True)
class PlannedRun:
    """One run.

    state   there: it has its row · claimed: another process has it, `holder` · to measure: with saved weights, without training ·
            unfinished: it goes on from a checkpoint · to train: from the start
    tries   whether it is a try of learning rates and the like, and no run that is compared
    time    of a whole training; None for what is not trained
    """

    method: str
    decoupling: str
    num_blocks: int
    seed: int
    state: State
    holder: str | None
    tries: bool
    time: Estimate | None

    @property
    def trains(self) -> bool:
        """Whether this command would train it."""
        return self.state in ("unfinished", "to train")


@dataclass(frozen=True)
class Plan:
    """What a command would do: `runs`, in about this `time` by so many `processes`, of which each needs about so many
    `bytes_each`. `how` says what that is estimated from, and `notes` what is not in it."""

    runs: tuple[PlannedRun, ...]
    time: Estimate
    processes: int
    bytes_each: int
    how: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchPlan:
    """What a search would do: with each of `searches` seeds it asks for the iterations of `trainings` whole trainings at most
    (None where that is not known), among the `decouplings` of the space, of which `told` whole ones are in its trajectory
    already, and `rows` of this space and these settings are there. `smallest` and `largest` are what a run of two decouplings
    costs, the ends of what was looked at."""

    searches: int
    trainings: int | None
    decouplings: int
    told: int
    rows: int
    smallest: DecouplingCost
    largest: DecouplingCost
    time: Estimate | None
    processes: int
    how: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DecouplingCost:
    """What one training of a decoupling costs: MACs of a sample, the bytes of a process, and the time."""

    decoupling: str
    num_blocks: int
    macs: int
    bytes: int
    time: Estimate


def side_by_side(times: Sequence[Estimate], processes: int, threads: int, cores: int) -> Estimate:
    """Of runs that so many processes do, each with so many threads, on a machine with so many cores: no run is shorter than
    alone, and processes that share a core take turns."""
    if not times:
        return Estimate(0.0, 0.0, 0.0)
    whole = Estimate.total(times)
    used = min(processes, len(times))
    longest = max(times, key=lambda one: one.seconds)
    turns = max(1.0, used * threads / cores)
    each = whole.times(turns / used)
    return each if each.seconds >= longest.seconds * turns else longest.times(turns)


def state_of(evaluator: Evaluator, decoupling: Decoupling) -> tuple[State, str | None]:
    """What becomes of a run, as the rows and the folders tell; nothing is taken or changed."""
    if evaluator.is_done(decoupling):
        return "there", None
    if holder := evaluator.claim(decoupling).holder():
        return "claimed", holder
    if evaluator.only_measures(decoupling):
        return "to measure", None
    return ("unfinished" if has_checkpoint(evaluator.run_folder(decoupling) / CHECKPOINT) else "to train"), None
