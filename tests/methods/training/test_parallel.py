"""Processes that train a stage each find the weights that one process finds."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.multiprocessing import ProcessRaisedException

from methods.dgl import DGL
from methods.early_exit import EarlyExit
from methods.method import Carry, Method
from methods.training.loop import Batch, TrainBatches, Trainer
from methods.training.parallel import train_parallel
from methods.training.settings import TrainingSettings
from spaces.activation import PADDING, TextShape
from spaces.decoupling import Decoupling
from spaces.named import read_space

SPACE = read_space("small(width=0.5)", (3, 8, 8), 4)


class Noise:
    """Batches that are functions of (seed, iteration)."""

    num_batches = 5

    def batch(self, seed: int, iteration: int) -> Batch:
        generator = torch.Generator().manual_seed(100 * seed + iteration)
        return torch.randn(16, 3, 8, 8, generator=generator), torch.randint(4, (16,), generator=generator)


class RunningCarry(NamedTuple):
    h: Any
    total: torch.Tensor  # (N,): the sum of each sample's activations so far


class Running(DGL):
    """Hands on more than the activation."""

    def start(self, x: torch.Tensor, y: torch.Tensor) -> Carry:
        return RunningCarry(x, x.sum((1, 2, 3)).double())

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        carry, loss = super().stage(k, carry, y)
        total = carry.total + carry.h.sum((1, 2, 3))
        return RunningCarry(carry.h, total), loss + 1e-3 * total.square().mean().float()


def build(cuts: tuple[int, ...] = (2, 4)) -> Method:
    """With dropout, so that the seeds of the stages matter."""
    torch.manual_seed(0)
    net = SPACE.build(Decoupling(cuts, ("mlp_sr",) * len(cuts)))
    net.heads = nn.ModuleList(nn.Sequential(nn.Dropout(0.3), head) for head in net.heads)
    return Running(net)


def check_same_as_one_process(
    build: Callable[[], Method], batches: TrainBatches, settings: TrainingSettings
) -> dict[str, torch.Tensor]:
    """Assert that processes find the weights of one process, to the bit; these weights."""
    trainer = Trainer(build(), settings, seed=3, device=torch.device("cpu"))
    for iteration in range(settings.iterations):
        trainer.step(*batches.batch(3, iteration), iteration)
    expected, found = trainer.method.state_dict(), train_parallel(build, batches, settings, seed=3).state_dict()
    assert list(found) == list(expected)
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name
    return found


@pytest.mark.slow
def test_a_process_a_stage_finds_what_one_process_finds_to_the_bit() -> None:
    settings = TrainingSettings(iterations=6, batch_size=16, lr=0.05, optimizer="adam", schedule="multistep")
    found, start = check_same_as_one_process(build, Noise(), settings), build().state_dict()
    assert not any(torch.equal(tensor, start[name]) for name, tensor in found.items())


def build_joint() -> Method:
    torch.manual_seed(0)
    return EarlyExit(SPACE.build(Decoupling((2, 4), ("linear",) * 2)))


def test_what_learns_jointly_is_one_process() -> None:
    check_same_as_one_process(build_joint, Noise(), TrainingSettings(iterations=3, batch_size=16, lr=0.05))


class Texts:
    """Padded texts, as long as the longest of the batch."""

    num_batches = 5

    def batch(self, seed: int, iteration: int) -> Batch:
        generator = torch.Generator().manual_seed(100 * seed + iteration)
        lengths = torch.randint(1, 4 + iteration % 3, (8, 1), generator=generator)
        ids = torch.randint(1, 20, (8, int(lengths.max())), generator=generator)
        return ids.masked_fill(torch.arange(ids.shape[1]) >= lengths, PADDING), torch.randint(4, (8,), generator=generator)


def build_lstm() -> Method:
    torch.manual_seed(0)
    space = read_space("lstm(depth=2,embedding=5,hidden=3,dropout=0.2)", TextShape(6, 20), 4)
    return DGL(space.build(Decoupling((1, 2), ("linear", "mlp"))))


def test_tokens_of_any_length_and_states_pass_between_processes() -> None:
    check_same_as_one_process(build_lstm, Texts(), TrainingSettings(iterations=5, batch_size=8, lr=0.1))


def test_a_stage_that_fails_ends_all() -> None:
    settings = TrainingSettings(iterations=1000, batch_size=16, lr=1e30, schedule="multistep")
    with pytest.raises(ProcessRaisedException, match=r"Diverged: the loss of stage \d is .* at iteration \d"):
        train_parallel(partial(build, cuts=(3,)), Noise(), settings, seed=0)
