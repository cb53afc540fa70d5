"""What --dry-run shows."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from textwrap import wrap

from methods.training.stages.launched import is_launched
from nas.cli.config import Invocation
from nas.cli.listing import PIPED
from nas.cli.runs import size
from nas.cli.terminal import columns_of
from nas.data.downloads import no_downloads
from nas.duration import duration
from nas.plans.plan import DecouplingCost, Plan, PlannedRun, SearchPlan
from nas.plans.run_costs import Estimate
from nas.report.short_names import short_decoupling, short_names
from nas.report.table import table
from spaces.notation.errors import UserError

STATES = {
    "to train": "to train",
    "unfinished": "to go on with",
    "to measure": "to measure with saved weights",
    "claimed": "claimed by other processes",
    "there": "there already",
}


@contextmanager
def planning(options: object) -> Iterator[None]:
    """Inside, nothing is downloaded; what processes of a launcher would wait for is refused."""
    if getattr(options, "parallel", None) and is_launched():
        raise UserError("--dry-run is of one process, got those of a launcher; start it without torchrun")
    with no_downloads():
        yield


def show_plan(plan: Plan, asked: Invocation) -> None:
    """The runs of an evaluation, a line for each method and decoupling, and what they take."""
    if asked.json:
        print(json.dumps(asdict(plan)))
        return
    width = columns_of(sys.stdout) or PIPED
    groups: dict[tuple[str, str, int, bool], list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault((run.method, run.decoupling, run.num_blocks, run.tries), []).append(run)
    names = short_names({run.method for run in plan.runs})
    lines = [
        [
            names[method] + (" (try)" if tries else ""),
            str(num_blocks),
            _states(runs),
            " ".join(str(run.seed) for run in runs if run.state not in ("there", "claimed")),
            next((duration(run.time.seconds) for run in runs if run.time), ""),
            short_decoupling(decoupling),
        ]
        for (method, decoupling, num_blocks, tries), runs in groups.items()
    ]
    print(table(["method", "K", "runs", "seeds to do", "each", "decoupling"], lines, columns_of(sys.stdout)))
    counts = Counter[str](run.state for run in plan.runs)
    told = ", ".join(f"{counts[state]} {words}" for state, words in STATES.items() if counts[state])
    holders = sorted({run.holder for run in plan.runs if run.holder})
    _say("runs", f"{len(plan.runs)}: {told}", width)
    for holder in holders:
        _say("claimed by", holder, width)
    if any(run.trains for run in plan.runs):
        _say("time", f"{about(plan.time)}{_by(plan.processes)}, from {plan.how}", width)
        each = f"about {size(plan.bytes_each)} {'a process ' if plan.processes > 1 else ''}at most"
        _say("memory", f"{each}: activations of a step, weights, gradients and the optimizer, beside PyTorch and the data", width)
    for note in plan.notes:
        _say("note", note, width)
    print("nothing was trained or written; without --dry-run the same command does it")


def show_search_plan(plan: SearchPlan, asked: Invocation) -> None:
    """The trainings of a search, and what they take."""
    if asked.json:
        print(json.dumps(asdict(plan)))
        return
    width = columns_of(sys.stdout) or PIPED
    many = f"{plan.searches} searches, each with " if plan.searches > 1 else ""
    asks = "as many as it likes" if plan.trainings is None else f"{plan.trainings} at most"
    _say("trainings", f"{many}{asks}, of {plan.decouplings:,} decouplings of the space", width)
    rows = f"{plan.rows} decouplings have a row with these settings, which is not repeated"
    _say("there", f"{plan.told} whole trials are in trials.csv, {rows}", width)
    for name, one in (("smallest", plan.smallest), ("largest", plan.largest)):
        _say(name, _cost(one), width)
    if plan.time is not None:
        left = f"{about(plan.time)}{_by(plan.processes)}, from {plan.how}" if plan.time.seconds else "none, all is there"
        _say("time", left, width)
    each = size(max(plan.smallest.bytes, plan.largest.bytes))
    _say("memory", f"about {each} a process: activations of a step, weights, gradients and the optimizer", width)
    for note in plan.notes:
        _say("note", note, width)
    print("nothing was trained or written; without --dry-run the same command does it")


def about(time: Estimate) -> str:
    """A time with its uncertainty."""
    return f"about {duration(time.seconds)} ({duration(time.low)} to {duration(time.high)})"


def _states(runs: list[PlannedRun]) -> str:
    counts = Counter[str](run.state for run in runs)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _by(processes: int) -> str:
    return f" by {processes} processes" if processes > 1 else ""


def _cost(one: DecouplingCost) -> str:
    macs = f"{one.macs / 1e6:,.2f} M MACs a sample"
    return f"{short_decoupling(one.decoupling)} (K={one.num_blocks}): {macs}, {size(one.bytes)}, {about(one.time)} each"


def _say(name: str, text: str, width: int) -> None:
    print("\n".join(wrap(f"{name:12}{text}", width, subsequent_indent=" " * 12, break_on_hyphens=False)))
