"""`net.side_by_side()`: several processes train what one trains, to the bit, each some of its blocks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import start_processes

import nas
from methods.training.stages.first import LostProcess
from nas.own_loop.decoupled import Decoupled
from spaces.notation.errors import UserError
from tests.nas.own_loop.models import CLASSES, Encoder, batch, conv_net

ROOT = Path(__file__).parents[3]
STEPS = 6


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def images(method: str) -> Decoupled:
    return nas.decouple(conv_net(), "even(4)", example=batch()[0], method=method, optimizer=sgd)


def texts() -> Decoupled:
    """A dict of tensors, one of which, the mask, goes along through all blocks; with a loss of one's own."""
    return nas.decouple(Encoder(), "even(3)", example=tokens(0)[0], optimizer=sgd, loss=nn.BCEWithLogitsLoss())


def tokens(seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(11, (8, 6), generator=generator)
    mask = (torch.arange(6) < torch.randint(2, 7, (8, 1), generator=generator)).long()
    return {"ids": ids, "mask": mask}, torch.rand(8, CLASSES, generator=generator)


def by_step(net: Decoupled, x: Any, y: Any, step: int) -> list[torch.Tensor]:
    """Two batches an update, clipped."""
    return net.step(x, y, share=0.5, update=step % 2 == 1, max_norm=0.5)


def by_losses(net: Decoupled, x: Any, y: Any, step: int) -> list[torch.Tensor]:
    losses = [*net.losses(x, y)]
    for optimizer, loss in zip(net.optimizers(), losses, strict=True):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return [loss.detach() for loss in losses]


CASES: dict[str, tuple[Callable[[], Decoupled], Callable[[int], tuple[Any, Any]], Any]] = {
    "dgl": (lambda: images("dgl"), lambda seed: batch(seed=seed), by_step),
    "predsim": (lambda: images("predsim"), lambda seed: batch(seed=seed), by_step),
    "infopro": (lambda: images("infopro"), lambda seed: batch(seed=seed), by_losses),
    "texts": (texts, tokens, by_step),
}


def train(net: Decoupled, case: str, reads: bool = True) -> list[list[float]]:
    _, data, way = CASES[case]
    return [[float(loss) for loss in way(net, *(data(step) if reads else (None, None)), step)] for step in range(STEPS)]


def process(rank: int, folder: str) -> None:
    """One of three: each case, whose weights the last and losses all write down; and what is refused."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=3)
    for case, (build, data, _) in CASES.items():
        net = build()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(rank)  # who begins with other weights is given those of the first
        net.side_by_side(*data(0)) if case == "dgl" else net.side_by_side(plan=(1, net.num_blocks - 2, 1), depth=1)
        losses = train(net, case, reads=rank == 0)
        assert len(net.optimizers()) == len(net.own_blocks) == len(losses[0])
        net.gather()
        half_way = train(net, case, reads=rank == 0)
        net.gather()
        torch.save([net.state_dict(), losses + half_way, [*net.own_blocks]], Path(folder) / f"{case} {rank}.pt")
    with pytest.raises(UserError, match="side_by_side a second time"):
        net.side_by_side()
    for refused, says in (
        (lambda: net.data_parallel(), "got data_parallel and side_by_side"),
        (lambda: images("dgl").data_parallel(by_hand=True).side_by_side(), "got data_parallel and side_by_side"),
        (lambda: images("man").side_by_side(), "stage 0 of MAN reads those of stage 1"),
        (lambda: images("backprop").side_by_side(), "got 3 processes for .* with one stage"),
        (lambda: images("dgl").side_by_side(plan=(2, 2)), r"each of 3 processes trains, got \(2, 2\)"),
        (lambda: images("dgl").side_by_side(), "got no batch in the first process"),
        (lambda: (texts() if rank else images("dgl")).side_by_side(), "got another in rank 1 than in the first"),
    ):
        with pytest.raises(UserError, match=says):
            refused()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where three processes have written what they trained."""
    folder = tmp_path_factory.mktemp("processes")
    start_processes(process, (str(folder),), nprocs=3, start_method="forkserver")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_processes_train_to_the_bit_what_one_trains(case: str, trained: Path) -> None:
    alone = CASES[case][0]()
    before = {name: tensor.clone() for name, tensor in alone.state_dict().items()}
    expected = train(alone, case) + train(alone, case)
    parts = [torch.load(trained / f"{case} {rank}.pt", weights_only=True) for rank in range(3)]
    assert [block for _, _, blocks in parts for block in blocks] == [*range(alone.num_blocks)]
    assert [[*chain(*step)] for step in zip(*(losses for _, losses, _ in parts), strict=True)] == expected
    for weights, _, _ in parts:
        for name, tensor in alone.state_dict().items():
            assert torch.equal(weights[name], tensor), name
    assert all(not torch.equal(tensor, before[name]) for name, tensor in alone.named_parameters() if name in before)


def test_in_one_process_it_is_refused() -> None:
    with pytest.raises(UserError, match="got one alone; start the script with torchrun"):
        images("dgl").side_by_side(*batch())
    with pytest.raises(UserError, match=r"call side_by_side\(\) before"):
        images("dgl").gather()


def process_that_ends(rank: int, folder: str) -> None:
    """The third ends without a word at its third step; the others say what they are told."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=3)
    net = images("dgl").side_by_side(plan=(1, 2, 1))
    for step in range(10_000):
        if rank == 2 and step == 2:
            os._exit(0)
        try:
            net.step(*batch(seed=step))
        except LostProcess as error:
            Path(folder, f"told {rank}").write_text(str(error))
            return


@pytest.mark.slow
def test_a_process_that_is_gone_ends_the_others_and_is_named(tmp_path: Path) -> None:
    start_processes(process_that_ends, (str(tmp_path),), nprocs=3, start_method="forkserver")
    for rank in range(2):
        told = (tmp_path / f"told {rank}").read_text()
        assert "that of block 3 has ended" in told and len(told.splitlines()) == 1


@pytest.mark.slow
def test_the_example_runs_under_torchrun_and_learns() -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    ended = subprocess.run([*torchrun, "examples/side_by_side.py"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0 and "terminate" not in ended.stderr, ended.stderr
    assert float(ended.stdout.partition("accuracy: ")[2].split()[0]) > 0.8  # 0.1 is chance
    assert ended.stdout.count("trained blocks") == 2
