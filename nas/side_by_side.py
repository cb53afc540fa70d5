"""--parallel: the processes that train the stages of each run side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import torch

from methods.method import Method
from methods.training.batches import TrainBatches
from methods.training.settings import Precision
from methods.training.stages.first import First, OthersOfRun
from methods.training.stages.launched import follow_launched, is_first, is_launched, launched_device, launched_group
from methods.training.stages.local import local_processes
from methods.training.stages.plan import planned
from methods.training.stages.topology import Topology
from nas.data.task_data import TaskData
from nas.data.worker_process import script_left_out, this_module_path
from nas.device import set_switches, use_threads
from nas.problem import Problem
from nas.records.log import Cell
from spaces.decoupling import Decoupling
from spaces.network import PixelScale
from spaces.notation.errors import UserError
from spaces.notation.table import Table


def stages(*, processes: int = 2, depth: int = 3, replicas: int = 1) -> Topology:
    """The stages of each run in so many processes, with up to `depth` carries on their way between two; `replicas` of all of
    them, each on its share of a batch.

    processes  how many a run has
    depth      carries that may be on their way between two
    replicas   times all of these, each on its share of a batch
    """
    return Topology(processes, depth, replicas)


PARALLELS: Table[Topology] = Table("way of training in parallel", {"stages": stages}, makes=Topology)


@dataclass(frozen=True)
class Facts:
    """What a network is built from of the data, in a process that reads none."""

    pixels: PixelScale | None
    num_features: int
    inputs: dict[str, Any]


class SideBySide:
    """The processes of a command. They are started with the first run, and again after one in which some were lost; those of a
    launcher, such as torchrun, are there already, and all but the first end here once they have done their part."""

    def __init__(self, parallel: str, device: torch.device, prepare: Callable[[], None]) -> None:
        self.spec = str(PARALLELS.resolve(parallel))
        self.topology, self.device, self._prepare = PARALLELS.build(self.spec), device, prepare
        self._first: First | None = None
        self._stack = ExitStack()
        self._launched = is_launched()
        if self._launched and not is_first():
            self._prepare()
            follow_launched(self.topology, launched_device(device))

    def __enter__(self) -> Self:
        if self._launched:
            self._opened()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def others(
        self, problem: Problem, decoupling: Decoupling, method: Method, seconds: list[float], batches: TrainBatches | None
    ) -> OthersOfRun:
        """The processes for a run of the method that the problem builds, of whose stages each step takes `seconds`."""
        plan = planned(method, seconds, self.topology.processes, problem.method)
        data = problem.data
        facts = cast(TaskData, Facts(data.pixels, data.num_features, data.inputs))
        build = partial(replace(problem, data=facts, device=torch.device("cpu")).build, decoupling)
        return self._opened().others(build, plan, problem.settings, seed=problem.seed, batches=batches)

    def cells(self, plan: tuple[range, ...], seconds: list[float] | None, step_seconds: float) -> dict[str, Cell]:
        """What a row says of how it was trained: the stages of each process, the speed-up that they allow at most over one
        process, and the one that was reached. Without `seconds`, those of each stage in every step, it says no speed-ups."""
        trained: dict[str, Cell] = {
            "parallel": self.spec,
            "process_stages": " ".join(f"{stages.start}-{stages.stop - 1}" for stages in plan),
        }
        if seconds is None:
            return trained
        whole = sum(seconds)
        return trained | {
            "process_speedup_bound": whole / max(sum(seconds[stages.start : stages.stop]) for stages in plan),
            "process_speedup": whole / step_seconds,
        }

    def close(self) -> None:
        """Let all processes end."""
        self._stack.close()
        self._first = None

    def _opened(self) -> First:
        if self._first is not None and self._first.can_go_on:
            return self._first
        if self._launched:
            if self._first is not None:
                raise UserError(
                    "processes of a launcher end with a run that fails among replicas, got one run more; start the command again"
                )
            self._first = First(launched_group(self.topology, launched_device(self.device)))
            self._stack.callback(self._first.close)
        else:
            self.close()
            with script_left_out(), this_module_path():
                self._first = self._stack.enter_context(local_processes(self.topology, self.device, self._prepare))
        return self._first


def prepare(threads: int, precision: Precision, deterministic: bool) -> None:
    """Compute as the first process does."""
    use_threads(threads)
    set_switches(precision, deterministic=deterministic)
