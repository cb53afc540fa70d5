"""A process of stages behind the first: it does what items ask for, in their order, run after run."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import torch

from methods.method import Method
from methods.training.batches import TrainBatches
from methods.training.diverged import Diverged
from methods.training.memory import out_of_memory
from methods.training.stages.group import BACK, Group
from methods.training.stages.items import Begin, Close, End, Ended, Failed, Load, Ready, Save, Step, Validated, Verdict, Weights
from methods.training.stages.links import Lost
from methods.training.stages.replicated import ReplicaTrainer
from methods.training.stages.share import Share
from methods.training.stages.stage_checkpoints import StageCheckpoints
from methods.training.stages.topology import named
from methods.training.stages.worker import StageWorker
from methods.training.trainer import named_tensors
from spaces.notation.errors import UserError

TO_ALL = (Begin, Load, End, Close)
TO_REPLICAS = (Step, Validated, Verdict, Save, *TO_ALL)  # validation and weights are asked of the first replica alone
GONE = 3  # exit status: another process of the run is gone, or this one failed among replicas


def follow(group: Group) -> None:
    """Do what comes until a Close does, or until another process is gone."""
    _Follower(group).run()


class _Follower:
    def __init__(self, group: Group) -> None:
        self.group, self.before, self.after = group, group.before(), group.after()
        self.back = group.sender(0, BACK)
        self.stages = range(0)
        self.worker: StageWorker | None = None  # None between runs, and once this process's part of one has failed

    def run(self) -> None:
        while True:
            item = self.before.receive()
            if isinstance(item, Lost):
                self._end(GONE)
            try:
                passed = self._handle(item)
            except Exception as error:  # whatever it is, the first process is told, and has all of them end the run
                passed = item if isinstance(item, TO_ALL) else None
                self._fail(error)
            try:
                if passed is not None and self.after is not None:
                    self.after.send(passed)
                self.before.release()
                if isinstance(item, End):
                    self.back.send(Ended())
            except RuntimeError:
                self._end(GONE)
            if isinstance(item, Close):
                for link in (self.after, self.back):
                    if link is not None:
                        link.flush()
                self._end(0)

    def _handle(self, item: Any) -> Any:
        match item:
            case Begin():
                self._begin(item)
            case Load():
                if self.worker is not None:
                    self.worker.load(item.iterations)
            case End() | Close():
                self.worker = None
                gc.collect()
            case _:
                return None if self.worker is None else self.worker.handle(item)
        return item

    def _begin(self, item: Begin) -> None:
        self.stages, run, device = item.plan[self.group.process], item.run, self.group.device
        method = item.build()
        trainer = ReplicaTrainer(
            method,
            run.settings,
            seed=run.seed,
            device=device,
            trained_stages=run.trained_stages,
            stages=self.stages,
            group=self.group,
        )
        digest = weights_digest(trainer.weights())
        _forget_others(method, trainer.modules())
        store = StageCheckpoints(run.checkpoint, run.described, stages=self.stages, num_stages=method.num_stages, device=device)
        is_replica = self.group.replica > 0
        batches: TrainBatches | None = None
        if is_replica and self.group.process == 0:
            assert item.batches is not None, "replicas draw their own"
            batches = Share(item.batches, self.group.topology.replicas, self.group.replica)
        tell: Callable[[Any], None] = (lambda told: None) if is_replica else self.back.send
        self.worker = StageWorker(trainer, store, tell, batches=batches, is_replica=is_replica, exit_errors=run.exit_errors)
        self.back.send(Ready(self.stages, store.available(), digest))

    def _fail(self, error: Exception) -> None:
        """Tell the first process; among replicas, which wait for this one's gradients, end."""
        self.worker = None
        stages = named(self.stages) if len(self.stages) else f"process {self.group.process}"
        memory = out_of_memory(error)
        if isinstance(error, Diverged):
            kind, told = "diverged", str(error)
        elif memory is not None:
            kind, told = "memory", memory
        elif isinstance(error, UserError):
            kind, told = "refused", str(error)
        elif isinstance(error, OSError):
            kind, told = "system", str(error)
        else:
            kind, told = "bug", f"{type(error).__name__}: {error}"
            traceback.print_exc()
        error.__traceback__ = None  # which holds what the step held
        gc.collect()
        self.back.send(Failed(kind, stages, told))
        if self.group.topology.replicas > 1:
            self.back.flush()
            self._end(GONE)

    def _end(self, status: int) -> None:
        """Without waiting for threads that receive, which have no end of their own."""
        for link in (self.after, self.back):
            if link is not None:
                link.close()
        sys.stderr.flush()
        os._exit(status)


def weights_digest(weights: Weights) -> str:
    """Of names and numbers."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _forget_others(method: Method, own: Iterable[torch.nn.Module]) -> None:
    """Give up the memory of what other processes train; what inference runs beside the blocks stays, since logits may need it."""
    kept = {module for part in own for module in part.modules()}
    for block in range(method.net.num_blocks):
        for part in method.inference_modules(block):
            if part is not method.net.blocks[block]:
                kept |= set(part.modules())
    kept_tensors = {id(tensor) for module in kept for tensor in (*module.parameters(), *module.buffers())}
    if all(id(tensor) in kept_tensors for _, tensor in named_tensors(method)):
        return
    for block in (*method.net.blocks, *method.net.heads, *method.lookaheads):
        for module in block.modules():
            if module not in kept and not any(id(tensor) in kept_tensors for tensor in _own(module)):
                module._apply(lambda tensor: tensor.to("meta"), recurse=False)


def _own(module: torch.nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]
