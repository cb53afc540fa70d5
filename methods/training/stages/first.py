"""The process of the first stage, which has the data: it leads the others through one run after the other."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist

from methods.method import Method
from methods.training.batches import TrainBatches
from methods.training.diverged import Diverged
from methods.training.memory import StageOutOfMemory
from methods.training.settings import TrainingSettings
from methods.training.stages.follower import TO_REPLICAS, weights_digest
from methods.training.stages.group import BACK, Group
from methods.training.stages.group import TO_REPLICAS as TAG_TO_REPLICAS
from methods.training.stages.items import Begin, Close, End, Ended, Failed, Load, Ready, RunSettings, Step
from methods.training.stages.links import Lost
from methods.training.stages.replicated import ReplicaTrainer
from methods.training.stages.topology import named
from methods.training.trainer import Trainer
from spaces.notation.errors import UserError

ENDS_WITHIN = 10.0  # seconds for processes that were asked to end


class LostProcess(UserError):
    """A process of the run is gone."""


class First:
    """Leads the other processes of `group`, which `follow`. `why_gone` says of a rank how its process ended, where that is known,
    and `lost` is called when one is gone or has failed among replicas, so that nobody waits for it."""

    def __init__(
        self, group: Group, *, why_gone: Callable[[int], str] = lambda rank: "is gone", lost: Callable[[], None] = lambda: None
    ) -> None:
        topology = group.topology
        self.group, self.topology, self.why_gone, self.lost = group, topology, why_gone, lost
        self.after = group.after()
        self.replicas = [group.sender(topology.rank(0, replica), TAG_TO_REPLICAS) for replica in range(1, topology.replicas)]
        self.plan: tuple[range, ...] = ()
        self._told: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._failure: tuple[int, Any] | None = None
        self._receivers = [group.receiver(rank, BACK, into=partial(self._take_in, rank)) for rank in range(1, topology.size)]

    def _take_in(self, rank: int, told: Any) -> None:
        """By the thread that receives."""
        if isinstance(told, Failed | Lost) and self._failure is None:
            self._failure = rank, told
            if self.topology.replicas > 1:
                self.lost()
        self._told.put((rank, told))

    def others(
        self,
        build: Callable[[], Method],
        plan: Sequence[range],
        settings: TrainingSettings,
        *,
        seed: int,
        batches: TrainBatches | None = None,
    ) -> OthersOfRun:
        """The processes for one run of the method that `build`, which is pickled, makes everywhere alike; `plan` has the stages
        of each place in the row. `batches`, of which replicas draw their own, are pickled where there are any."""
        return OthersOfRun(self, build, tuple(plan), settings, seed, batches)

    def close(self) -> None:
        """Let all processes end, and with them the process group."""
        try:
            self.send_all(Close())
            for link in (self.after, *self.replicas):
                if link is not None:
                    link.flush()
        except (RuntimeError, LostProcess):
            pass  # those that are gone have ended
        for link in (self.after, *self.replicas):
            if link is not None:
                link.close()
        until = time.monotonic() + ENDS_WITHIN
        for receiver in self._receivers:
            receiver.wait_until_lost(max(0.0, until - time.monotonic()))
        dist.destroy_process_group()

    def send_all(self, item: Any) -> None:
        """To every process, through the row of each replica."""
        self.send(self.after, item)
        for link in self.replicas:
            self.send(link, item)

    def send(self, link: Any, item: Any) -> None:
        """An item over a link, unless something has failed, which is raised."""
        if link is None:
            return
        try:
            link.send(item, self.check)
        except RuntimeError:
            self.raise_failure(link.to)

    def next_told(self) -> tuple[int, Any]:
        """What was told next, and by which rank; waits for it."""
        return self._told.get()

    def is_told(self) -> bool:
        """Whether something was told that nobody has taken."""
        return not self._told.empty()

    def check(self) -> None:
        """Raise what has failed."""
        if self._failure is not None:
            self.raise_failure(self._failure[0])

    def raise_failure(self, rank: int) -> None:
        """As what it was in the process where it failed."""
        rank, failure = self._failure or (rank, Lost())
        self._failure = rank, failure
        process, _ = self.topology.place(rank)
        stages = named(self.plan[process]) if self.plan else f"process {process}"
        if isinstance(failure, Lost):
            raise LostProcess(
                f"the process of {stages} {self.why_gone(rank)}; the others have ended too, and the same command goes on from "
                "the last checkpoint"
            )
        match failure.kind:
            case "diverged":
                raise Diverged(failure.told)
            case "memory":
                raise StageOutOfMemory(f"{failure.told} (in {failure.stages})")
            case "refused":
                raise UserError(failure.told)
            case "system":
                raise OSError(f"{failure.told} (in the process of {failure.stages})")
        raise RuntimeError(f"the process of {failure.stages} failed: {failure.told}")

    @property
    def can_go_on(self) -> bool:
        """Whether another run may follow: nobody is gone, and nobody was left waiting by one that failed."""
        if self._failure is None:
            return True
        return self.topology.replicas == 1 and not isinstance(self._failure[1], Lost)

    def forget_failure(self) -> None:
        """Of a run that is over."""
        self._failure = None


class OthersOfRun:
    """See `Others`."""

    def __init__(
        self,
        first: First,
        build: Callable[[], Method],
        plan: tuple[range, ...],
        settings: TrainingSettings,
        seed: int,
        batches: TrainBatches | None,
    ) -> None:
        self.first, self.build, self.plan, self.settings, self.seed, self.batches = first, build, plan, settings, seed, batches
        self._begun = False

    @property
    def stages(self) -> range:
        """Those of this process."""
        return self.plan[0]

    @property
    def num_savers(self) -> int:
        """The first replica saves and tells."""
        return self.first.topology.processes

    def trainer(self, method: Method, settings: TrainingSettings, **named: Any) -> Trainer:
        """That averages over the replicas of the first stages."""
        return ReplicaTrainer(method, settings, group=self.first.group, **named)

    def begin(
        self, trainer: Trainer, checkpoint: Path | None, described: str, trained_stages: int, *, exit_errors: bool
    ) -> set[int]:
        """Let each build its stages; UserError where one begins with other weights than this process has for them."""
        self.first.plan, self._begun = self.plan, True
        run = RunSettings(self.settings, self.seed, trained_stages, checkpoint and checkpoint.absolute(), described, exit_errors)
        self.first.send_all(Begin(self.build, self.batches, self.plan, run))
        available: set[int] | None = None
        for _ in range(self.first.topology.size - 1):
            self.first.check()
            rank, ready = self.first.next_told()
            self.first.check()
            assert isinstance(ready, Ready), "a process that begins is ready or has failed"
            digest = weights_digest(Trainer.weights_of(trainer.method, ready.stages))
            if ready.digest != digest:
                raise UserError(
                    f"every process begins with the same weights, but that of {named(ready.stages)}, rank {rank}, made others; "
                    "give all hosts the same versions of this program and of torch"
                )
            available = set(ready.available) if available is None else available & set(ready.available)
        return available or {0}

    def load(self, iteration: int) -> None:
        """Through the rows."""
        self.first.send_all(Load(iteration))

    def send(self, item: Any) -> None:
        """To the next process."""
        self.first.send(self.first.after, item)

    def announce(self, item: Any) -> None:
        """To the replicas of this process, which wait for each other in what they do."""
        self.first.check()
        if self.first.replicas and isinstance(item, TO_REPLICAS):
            without_data = item._replace(carry=None, y=None) if isinstance(item, Step) else item
            for link in self.first.replicas:
                self.first.send(link, without_data)

    def told(self, *, waits: bool) -> Iterable[Any]:
        """By whichever process."""
        self.first.check()
        while waits or self.first.is_told():
            waits = False
            told = self.first.next_told()[1]
            self.first.check()
            yield told

    def end(self) -> None:
        """Wait until all have forgotten the run, unless one is gone."""
        first = self.first
        if not self._begun or not first.can_go_on:
            return
        first.forget_failure()
        try:
            first.send_all(End())
            left = first.topology.size - 1
            while left:
                _, told = first.next_told()
                if isinstance(told, Lost):
                    return
                left -= isinstance(told, Ended)
        except LostProcess:
            return
        first.forget_failure()
