"""Several processes with a share of the batch each train what one process trains on all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

import nas
from nas.own_loop.decoupled import Decoupled
from spaces.notation.errors import UserError
from tests.nas.own_loop.models import batch, conv_net

SHARES = 2
STEPS = 3


def decoupled() -> Decoupled:
    return nas.decouple(
        conv_net(),
        "even(3)",
        example=batch()[0],
        head="linear",
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
    )


def by_step(net: Decoupled, x: torch.Tensor, y: torch.Tensor) -> None:
    net.step(x, y)


def by_losses(net: Decoupled, x: torch.Tensor, y: torch.Tensor) -> None:
    for loss in net.losses(x, y):
        loss.backward()
    update(net)


def by_one_loss(net: Decoupled, x: torch.Tensor, y: torch.Tensor) -> None:
    net.forward_loss(x, y).backward()
    update(net)


class Total(nn.Module):
    """What programs wrap that run backward once."""

    def __init__(self, net: Decoupled) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.net.forward_loss(x, y)


def by_a_module_around(net: Decoupled, x: torch.Tensor, y: torch.Tensor) -> None:
    total = DistributedDataParallel(Total(net)) if dist.is_initialized() else Total(net)
    total(x, y).backward()
    update(net)


def by_two_halves(net: Decoupled, x: torch.Tensor, y: torch.Tensor) -> None:
    half = len(x) // 2
    net.step(x[:half], y[:half], share=0.5, update=False)
    net.step(x[half:], y[half:], share=0.5)


def update(net: Decoupled) -> None:
    for optimizer in net.optimizers():
        optimizer.step()
        optimizer.zero_grad()


WAYS = [by_step, by_losses, by_one_loss, by_two_halves, by_a_module_around]


def train(net: Decoupled, way: Any, rank: int = 0, size: int = 1) -> Decoupled:
    for step in range(STEPS):
        x, y = batch(16, seed=step)
        way(net, x[rank::size], y[rank::size])
    return net


def process(rank: int, folder: str) -> None:
    """One of the processes: each way to train, whose weights the first writes down, and what is refused."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=SHARES)
    for way in WAYS:
        net = decoupled()
        train(net if way is by_a_module_around else net.data_parallel(), way, rank, SHARES)
        if rank == 0:
            torch.save(net.state_dict(), Path(folder) / f"{way.__name__}.pt")
    x, y = batch()
    net = decoupled()
    with pytest.raises(UserError, match="got 2 processes and nothing that averages gradients; call data_parallel"):
        net.step(x, y)
    with pytest.raises(UserError, match="DistributedDataParallel around a decoupled model knows one backward pass"):
        DistributedDataParallel(net)(x)
    net.data_parallel(by_hand=True).step(x, y)
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have written what they trained."""
    folder = tmp_path_factory.mktemp("processes")
    start_processes(process, (str(folder),), nprocs=SHARES, start_method="forkserver")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_train_what_one_trains_on_the_joined_batch(way: Any, trained: Path) -> None:
    before = decoupled().state_dict()
    alone = train(decoupled(), way).state_dict()
    together = torch.load(trained / f"{way.__name__}.pt", weights_only=True)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-9, atol=1e-12)
        assert not torch.equal(tensor, before[name]), f"{name} is trained"


def test_without_processes_it_is_refused() -> None:
    with pytest.raises(UserError, match="got no process group; call torch.distributed.init_process_group"):
        decoupled().data_parallel()
    with pytest.raises(UserError, match="by_hand averages nothing here, got bucket_cap_mb beside it"):
        decoupled().data_parallel(by_hand=True, bucket_cap_mb=1)
