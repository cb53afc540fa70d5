"""Several processes in one's own loop, each of which trains contiguous blocks: a pipeline of `step`s."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate, pairwise
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch.utils._pytree import tree_map_only

from methods.method import Carry, Method
from methods.training.settings import TrainingSettings
from methods.training.stages.contiguous import contiguous
from methods.training.stages.first import ENDS_WITHIN, LostProcess
from methods.training.stages.group import BACK, Group
from methods.training.stages.launched import is_launched
from methods.training.stages.links import Lost
from methods.training.stages.plan import check_parted
from methods.training.stages.seconds import stage_seconds
from methods.training.stages.topology import Topology
from methods.training.trainer import Trainer
from spaces.notation.errors import UserError

ENDS_EARLY = 100  # priority among what multiprocessing does as a process exits


class Batch(NamedTuple):
    """What a process hands to the next: its last block's carry, and the targets."""

    carry: Carry
    y: Any


class Gone(NamedTuple):
    """In place of a batch, or told back: the process of these blocks is gone."""

    blocks: range


class Row:
    """The processes of torch.distributed in a row, with contiguous `blocks` of a method here. All make it at once, and begin
    with the weights of the first."""

    def __init__(self, group: Group, plan: tuple[range, ...]) -> None:
        self._group, self.plan = group, plan
        self.rank, self.blocks, self.steps = group.rank, plan[group.rank], 0
        self._gone: range | None = None  # the blocks of a process that is gone
        self._before = group.before() if self.rank else None
        self._back = group.sender(self.rank - 1, BACK) if self.rank else None
        self._after = group.after()
        self._behind = None if self._after is None else group.receiver(self.rank + 1, BACK, into=self._told)
        Finalize(None, self._close, exitpriority=ENDS_EARLY)  # as the script ends

    @property
    def is_first(self) -> bool:
        """Whether this process reads the data."""
        return self.rank == 0

    def receive(self) -> Batch:
        """The next step's batch from the process before."""
        assert self._before is not None, "the first process has its batches from the loop"
        item = self._before.receive()
        if isinstance(item, Lost | Gone):
            self._raise_gone(item.blocks if isinstance(item, Gone) else self.plan[self.rank - 1])
        if self._group.device.type == "cpu":
            item = tree_map_only(torch.Tensor, torch.clone, item)  # backward may come late, and the slot is used again
        self._before.release()
        return item

    def send(self, carry: Carry, y: Any) -> None:
        """A step's batch to the next process, if there is one."""
        self.steps += 1
        if self._after is not None:
            self._check()
            try:
                self._after.send(Batch(carry, y), self._check)
            except RuntimeError:  # the connection is closed; whose blocks it was because of is told before
                assert self._behind is not None, "who sends listens too"
                self._behind.wait_until_lost(ENDS_WITHIN)
                self._raise_gone(self._gone or self.plan[self.rank + 1])

    @torch.no_grad()
    def share_weights(self, method: Method, stages: Sequence[range]) -> None:
        """Give every process the weights of `stages[r]` as process r has them."""
        with told_as_lost("before all had the weights"):
            for rank, own in enumerate(stages):
                for tensor in Trainer.weights_of(method, own).values():
                    sent = tensor.contiguous()
                    dist.broadcast(sent, rank, group=self._group.processes)
                    tensor.copy_(sent)

    def gather(self, method: Method) -> None:
        """All blocks' weights for every process, after as many steps in each."""
        steps: list[Any] = [None] * len(self.plan)
        with told_as_lost("before all had the weights"):
            dist.all_gather_object(steps, self.steps, group=self._group.processes)
        if len(set(steps)) > 1:
            raise UserError(
                f"every process takes as many steps, got {', '.join(map(str, steps))} by those of "
                f"{'; '.join(map(named, self.plan))}; end all loops after the same one"
            )
        self.share_weights(method, self.plan)

    def _told(self, told: Any) -> None:
        """By the thread that listens to the process behind."""
        if self._gone is None:
            self._gone = told.blocks if isinstance(told, Gone) else self.plan[self.rank + 1]

    def _check(self) -> None:
        if self._gone is not None:
            self._raise_gone(self._gone)

    def _raise_gone(self, blocks: range) -> None:
        """In this process, and in those that are left, by its name."""
        for link in (self._back, self._after):
            if link is not None:
                with suppress(RuntimeError, ValueError):
                    link.send(Gone(blocks))
        raise LostProcess(
            f"every process takes as many steps as the first, but that of {named(blocks)} has ended (seen at step {self.steps}); "
            "see what it wrote, and start all again"
        ) from None

    def _close(self) -> None:
        """As the process ends: let the others take what was sent, and leave no thread and no process group."""
        with suppress(RuntimeError, ValueError, LostProcess):
            if self._back is not None:
                self._back.flush()
        with suppress(RuntimeError, ValueError, LostProcess):
            if self._after is not None:
                self._after.wait_until_read(self._check)
        if self._after is not None:
            self._after.close()
        self._group.hang_up()
        for receiver in (self._before, self._behind):
            if receiver is not None:
                receiver.discard()
        for link in (self._before, self._behind, self._back, self._after):
            if link is not None:
                link.wait_until_lost(ENDS_WITHIN)
        # torch may abort a process that ends with a group: none is left, neither the script's nor, where links hold it, the own.
        self._before = self._behind = self._back = self._after = self._group.processes = None
        if dist.is_initialized():
            dist.destroy_process_group()


def joined(method: Method, x: Any, y: Any, *, plan: Sequence[int] | None, depth: int, device: torch.device) -> Row:
    """This process among those of torch.distributed, or of torchrun where the script has made no process group of them."""
    if not dist.is_initialized():
        if not is_launched():
            raise UserError(
                "blocks train side by side in several processes, got one alone; start the script with "
                "torchrun --nproc-per-node P, or call torch.distributed.init_process_group"
            )
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    topology = Topology(dist.get_world_size(), depth)
    check_parted(method, topology.processes, type(method).__name__)
    group = Group(topology, dist.get_rank(), None, device)
    with told_as_lost("before blocks were parted"):
        _check_alike(group, method)
    said: list[Any] = [_planned(method, x, y, plan, topology.processes, device) if group.rank == 0 else None]
    with told_as_lost("before blocks were parted"):
        dist.broadcast_object_list(said, 0, group=group.processes)
    if isinstance(said[0], str):
        raise UserError(said[0])
    row = Row(group, said[0])
    row.share_weights(method, [range(method.num_stages)])
    return row


def named(blocks: range) -> str:
    """Words for a process: its blocks, from 0."""
    return f"block {blocks.start}" if len(blocks) == 1 else f"blocks {blocks.start} to {blocks.stop - 1}"


@contextmanager
def told_as_lost(when: str) -> Iterator[None]:
    """What torch says of a connection that closed, in a line."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcess(
            f"all processes train together, but one ended {when}; see what it wrote, and start all again"
        ) from error


def _check_alike(group: Group, method: Method) -> None:
    own = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in method.state_dict().items()]
    all_of_them: list[Any] = [None] * group.topology.size
    dist.all_gather_object(all_of_them, own, group=group.processes)
    for rank, others in enumerate(all_of_them):
        if others != all_of_them[0]:
            raise UserError(
                f"every process has the same model in the same blocks, got another in rank {rank} than in the first; "
                "build and decouple it alike in all"
            )


def _planned(
    method: Method, x: Any, y: Any, plan: Sequence[int] | None, processes: int, device: torch.device
) -> tuple[range, ...] | str:
    """The blocks of each process, by the first one; or what is wrong, which all processes say."""
    if plan is not None:
        if len(plan) != processes or sum(plan) != method.num_stages or min(plan) < 1:
            return (
                f"plan says how many of the {method.num_stages} blocks each of {processes} processes trains, got {tuple(plan)}; "
                "leave it out to have it measured"
            )
        return tuple(range(start, stop) for start, stop in pairwise((0, *accumulate(plan))))
    if x is None:
        return "blocks are parted by what they take, got no batch in the first process; give side_by_side(x, y), or plan=(2, 1)"
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        seconds = stage_seconds(copy.deepcopy(method), TrainingSettings(), x, y, device=device).seconds
    return contiguous(seconds, processes)
