"""One process a stage: the blocks learn side by side, each on the batch that the block before it has just let go of."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes
from torch.utils._pytree import tree_leaves, tree_map_only

from methods.method import Carry, Method
from methods.training.loop import TrainBatches, Trainer, check_finite
from methods.training.settings import TrainingSettings
from spaces.notation.errors import UserError


def train_parallel(build: Callable[[], Method], batches: TrainBatches, settings: TrainingSettings, *, seed: int) -> Method:
    """Train each stage of the method that `build` makes in a process of its own, on the CPU; the method with last weights.

    While stage k trains on iteration i, stage k - 1 trains on iteration i + 1. A stage is seeded by (seed, iteration,
    k) and hands on what it computed before its update, so the result is that of `Trainer.step`, to the bit. `build`
    gives equal weights whenever it is called; it and `batches`, which every process draws for itself, are pickled. A
    stage is its own modules; a method whose stages read others' weights is a UserError, and so is growing. What fails in
    a stage ends all and raises torch.multiprocessing.ProcessRaisedException, a loss that is not finite included.
    Validation and checkpoints belong to `train`.
    """
    if settings.grow is not None:
        raise UserError(f"stages in processes of their own begin together, got grow={settings.grow}; use one process")
    method = build()
    for k in range(method.num_stages):
        if method.reads(k):
            raise UserError(
                f"stages in processes of their own cannot read each other's weights, but stage {k} of "
                f"{type(method).__name__} reads those of {', '.join(map(str, method.reads(k)))}; use one process"
            )
    forkserver.set_forkserver_preload([__name__, "torch._dynamo"])  # optimizers import it; once for all stages
    with tempfile.TemporaryDirectory() as folder:
        start_processes(
            _stage_process,
            (method.num_stages, build, batches, settings, seed, folder),
            nprocs=method.num_stages,
            start_method="forkserver",
        )
        for k in range(method.num_stages):
            _stage_modules(method, k).load_state_dict(torch.load(_result(folder, k), weights_only=True))
    return method


def _stage_process(
    k: int,
    num_stages: int,
    build: Callable[[], Method],
    batches: TrainBatches,
    settings: TrainingSettings,
    seed: int,
    folder: str,
) -> None:
    """Train stage k in this process and leave its state in `folder`, where the processes also meet."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=k, world_size=num_stages)
    method = build()
    trainer = Trainer(method, settings, seed=seed, device=torch.device("cpu"))
    before, after = _Link(k - 1), _Link(k + 1)
    for iteration in range(settings.iterations):
        x, y = batches.batch(seed, iteration)
        carry = before.receive() if k else method.start(x, y)
        carry, loss = trainer.stage_step(k, carry, y, iteration)
        check_finite(loss.item(), k, iteration)
        if k + 1 < num_stages:
            after.send(carry)
    torch.save(_stage_modules(method, k).state_dict(), _result(folder, k))
    dist.barrier()  # the next stage may still be reading
    dist.destroy_process_group()


class _Link:
    """Carries to or from the process of another stage: their shapes, types and memory order go first, where they change, as
    those of texts do from batch to batch."""

    def __init__(self, stage: int) -> None:
        self.stage = stage
        self.template: Carry = None

    def send(self, carry: Carry) -> None:
        carry = tree_map_only(torch.Tensor, lambda tensor: tensor.detach().clone(), carry)
        template = tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), carry)
        changes = self.template is None or _layouts(template) != _layouts(self.template)
        dist.send(torch.tensor(changes), self.stage)
        if changes:
            self.template = template
            dist.send_object_list([template], self.stage)
        for tensor in _tensors(carry):
            dist.send(_memory(tensor), self.stage)

    def receive(self) -> Carry:
        changes = torch.tensor(False)
        dist.recv(changes, self.stage)
        if changes:
            box: list[Carry] = [None]
            dist.recv_object_list(box, self.stage)
            self.template = box[0]
        carry = tree_map_only(torch.Tensor, lambda tensor: torch.empty_like(tensor, device="cpu"), self.template)
        for tensor in _tensors(carry):
            dist.recv(_memory(tensor), self.stage)
        return carry


def _tensors(carry: Carry) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(carry) if isinstance(leaf, torch.Tensor)]


def _layouts(carry: Carry) -> list[tuple[torch.Size, tuple[int, ...], torch.dtype]]:
    return [(tensor.shape, tensor.stride(), tensor.dtype) for tensor in _tensors(carry)]


def _memory(tensor: torch.Tensor) -> torch.Tensor:
    """A dense tensor's numbers as they lie in memory, channels-last or not; a view."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _stage_modules(method: Method, k: int) -> torch.nn.ModuleList:
    return torch.nn.ModuleList(method.stage_modules(k))


def _result(folder: str, k: int) -> Path:
    return Path(folder) / f"stage_{k}.pt"
