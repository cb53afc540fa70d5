"""Processes that train some stages each find, save and go on from what one process does, to the bit."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe, active_children, get_context
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from methods.al import AL
from methods.dgl import DGL
from methods.method import Carry, Method
from methods.training.batches import Batch, TrainBatches
from methods.training.diverged import Diverged
from methods.training.loop import Progress, Trained, train
from methods.training.memory import out_of_memory
from methods.training.settings import TrainingSettings
from methods.training.stages.first import First, LostProcess
from methods.training.stages.local import local_processes
from methods.training.stages.plan import planned
from methods.training.stages.share import Share
from methods.training.stages.topology import Topology
from spaces.activation import PADDING, TextShape
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

CPU = torch.device("cpu")
SPACE = read_space("small(width=0.5)", (3, 8, 8), 4)


class Noise:
    """Batches that are functions of (seed, iteration)."""

    num_batches = 3

    def batch(self, seed: int, iteration: int) -> Batch:
        generator = torch.Generator().manual_seed(100 * seed + iteration)
        return torch.randn(16, 3, 8, 8, generator=generator), torch.randint(4, (16,), generator=generator)


class RunningCarry(NamedTuple):
    h: Any
    total: torch.Tensor  # (N,): the sum of each sample's activations so far


class Running(DGL):
    """Hands on more than the activation."""

    def start(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Carry:
        return RunningCarry(x, x.sum((1, 2, 3)).double())

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        carry, loss = super().stage(k, carry, y)
        total = carry.total + carry.h.sum((1, 2, 3))
        return RunningCarry(carry.h, total), loss + 1e-3 * total.square().mean().float()


def build(cuts: tuple[int, ...] = (1, 2, 4)) -> Method:
    """With dropout, so that the seeds of the stages matter."""
    torch.manual_seed(0)
    net = SPACE.build(Decoupling(cuts, ("mlp_sr",) * len(cuts)))
    net.heads = nn.ModuleList(nn.Sequential(nn.Dropout(0.3), head) for head in net.heads)
    return Running(net)


def validation(batches: TrainBatches) -> Iterator[Batch]:
    yield from (batches.batch(99, number) for number in range(2))


def run(
    build: Callable[[], Method], batches: TrainBatches, how: TrainingSettings, *, first: First | None = None, **named: Any
) -> Trained:
    method, replicas = build(), how.replicas or 1
    others = None
    if first is not None:
        plan = planned(method, [1.0] * method.num_stages, first.topology.processes, "it")
        others = first.others(build, plan, how, seed=3, batches=batches if replicas > 1 else None)
    batches = Share(batches, replicas, 0) if replicas > 1 else batches
    return train(method, batches, partial(validation, batches), how, seed=3, device=CPU, others=others, **named)


def outcome(trained: Trained) -> tuple[Any, ...]:
    return trained.validation_error, trained.validation_loss, trained.best_iteration, trained.train_loss


def assert_same(found: Trained, expected: Trained) -> None:
    assert outcome(found) == outcome(expected)
    wanted = expected.method.state_dict()
    assert list(found.method.state_dict()) == list(wanted)
    for name, tensor in found.method.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def check_same_as_one_process(
    build: Callable[[], Method], batches: TrainBatches, how: TrainingSettings, *, processes: int
) -> None:
    """Assert that so many processes find the scores and the best weights of one, to the bit."""
    with local_processes(Topology(processes), CPU) as first:
        assert_same(run(build, batches, how, first=first), run(build, batches, how))


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


def build_al() -> Method:
    """Whose logits need the decoders of all stages."""
    torch.manual_seed(0)
    return AL(SPACE.build(Decoupling((2, 4), ("none", "none"))), label_dim=8)


HOW = TrainingSettings(iterations=8, batch_size=16, lr=0.05, optimizer="adam", schedule="multistep")
CASES = {
    "joint": (build, Noise(), HOW),
    "one block after the other": (build, Noise(), TrainingSettings(iterations=12, batch_size=16, lr=0.05, grow="frozen")),
    "blocks that join in": (build, Noise(), TrainingSettings(iterations=12, batch_size=16, lr=0.05, grow="training")),
    "bf16": (build, Noise(), TrainingSettings(iterations=4, batch_size=16, lr=0.002, precision="bf16")),
    "texts": (build_lstm, Texts(), TrainingSettings(iterations=7, batch_size=8, lr=0.1)),
    "logits that need other stages": (
        build_al,
        Noise(),
        TrainingSettings(iterations=7, batch_size=16, lr=0.01, optimizer="adam"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_find_what_one_finds_to_the_bit(processes: int) -> None:
    """Run after run in the same processes, also after one that failed."""
    with local_processes(Topology(processes), CPU) as first:
        for number, (build, batches, how) in enumerate(CASES.values()):
            if number == 2:
                wild = replace(HOW, iterations=50, lr=1e30, optimizer="sgd(momentum=0.9)")
                with pytest.raises(Diverged) as alone:
                    run(build, batches, wild)
                with pytest.raises(Diverged) as told:
                    run(build, batches, wild, first=first)
                assert str(told.value) == str(alone.value)
            found, expected = run(build, batches, how, first=first), run(build, batches, how)
            assert_same(found, expected)
            start = build().state_dict()
            assert not all(torch.equal(tensor, start[name]) for name, tensor in found.method.state_dict().items())


class Stopped(Exception):
    pass


def stop_at(iteration: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.iteration == iteration:
            raise Stopped

    return report


@pytest.mark.slow
@pytest.mark.parametrize("how", [CASES["joint"][2], CASES["one block after the other"][2]], ids=["joint", "grown"])
def test_a_run_goes_on_with_another_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: TrainingSettings
) -> None:
    """From one process to three, to two, and back to one, each stopped some iterations later; saved at each epoch."""
    path, expected = tmp_path / "checkpoint.pt", run(build, Noise(), how)
    seen: list[int] = []
    for processes, stop in ((1, 4), (3, 6), (2, 7), (1, how.iterations + 1)):
        reports: list[Progress] = []

        def report(progress: Progress, stop: int = stop, reports: list[Progress] = reports) -> None:
            reports.append(progress)
            if progress.iteration >= stop:
                raise Stopped

        if processes == 1:
            with pytest.raises(Stopped) if stop <= how.iterations else nullcontext():
                found = run(build, Noise(), how, checkpoint=path, report=report)
        else:
            with local_processes(Topology(processes), CPU) as first, pytest.raises(Stopped):
                run(build, Noise(), how, first=first, checkpoint=path, report=report)
        seen.append(reports[0].iteration)
    assert seen[0] == 1 and all(later > earlier or later > 3 for later, earlier in zip(seen[1:], seen[:-1], strict=True))
    assert_same(found, expected)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_run_and_is_named(tmp_path: Path) -> None:
    path, pids = tmp_path / "checkpoint.pt", []

    def report(progress: Progress) -> None:
        if progress.iteration == 5 and progress.validation_error is None:
            pids.extend(child.pid for child in active_children())
            os.kill(pids[-1], signal.SIGKILL)

    how = TrainingSettings(iterations=100_000, batch_size=16, lr=0.01)
    with local_processes(Topology(3), CPU) as first, pytest.raises(LostProcess, match=r"the process of stages? \d.* SIGKILL"):
        run(build, Noise(), how, first=first, checkpoint=path, report=report)
    assert pids


class Fails(DGL):
    """Fails in stage 2 at its third batch, as `how` says."""

    how = ""

    def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
        self.calls = getattr(self, "calls", 0) + (k == 2)
        if self.calls == 3:
            raise (
                RuntimeError("tried to allocate 3.00 GiB: out of memory") if self.how == "memory" else UserError("no, got x; go")
            )
        return super().stage(k, carry, y)


def failing(how: str) -> Method:
    torch.manual_seed(0)
    method = Fails(SPACE.build(Decoupling((1, 2, 4), ("linear",) * 3)))
    method.how = how
    return method


@pytest.mark.slow
def test_what_fails_in_a_process_is_told_as_in_one() -> None:
    with local_processes(Topology(2), CPU) as first:
        with pytest.raises(MemoryError) as told:
            run(partial(failing, "memory"), Noise(), HOW, first=first)
        assert "3.00 GiB" in str(out_of_memory(told.value)) and "stages 2 to 3" in str(told.value)
        with pytest.raises(UserError, match="no, got x; go"):
            run(partial(failing, "refused"), Noise(), HOW, first=first)
        assert_same(run(build, Noise(), HOW, first=first), run(build, Noise(), HOW))


def build_linear() -> Method:
    """Without BatchNorm, so that the mean of two halves' gradients is the whole batch's."""
    torch.manual_seed(0)
    space = read_space("linear(depth=3)", TextShape(6, 20), 4)
    return DGL(space.build(Decoupling((1, 2), ("linear", "linear"))))


class Halves:
    """Of `Texts`' batches of full length: batch 2 i + r is the half r of batch i."""

    num_batches = 4

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def batch(self, seed: int, iteration: int) -> Batch:
        place, part = divmod(iteration, self.parts)
        generator = torch.Generator().manual_seed(100 * seed + place)
        x, y = torch.randint(1, 20, (8, 6), generator=generator), torch.randint(4, (8,), generator=generator)
        return x.chunk(self.parts)[part], y.chunk(self.parts)[part]


@pytest.mark.parametrize("cuts", [(1, 2)])
def test_what_cannot_be_parted_is_refused(cuts: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="got 4 processes for dgl with 3 stages; give fewer"):
        planned(build(cuts), [1.0] * 3, 4, "dgl")
    with pytest.raises(UserError, match="got processes=1"):
        Topology(1)


@pytest.mark.slow
def test_replicas_average_what_halves_of_a_batch_say() -> None:
    """Without BatchNorm and dropout the mean of the halves' gradients is the whole batch's, up to rounding."""
    how = TrainingSettings(iterations=6, batch_size=8, lr=0.05)
    with local_processes(Topology(2, replicas=2), CPU) as first:
        found = run(build_linear, Halves(2), replace(how, replicas=2), first=first)
    expected, start = run(build_linear, Halves(1), how).method.state_dict(), build_linear().state_dict()
    for name, tensor in found.method.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)
    assert not all(torch.equal(tensor, start[name]) for name, tensor in expected.items())


class Twice:
    """Each batch of `Noise` comes twice, so that two replicas are given the same."""

    num_batches = 6

    def batch(self, seed: int, iteration: int) -> Batch:
        return Noise().batch(seed, iteration // 2)


def build_plain() -> Method:
    torch.manual_seed(0)
    return DGL(SPACE.build(Decoupling((1, 2, 4), ("mlp_sr",) * 3)))


@pytest.mark.slow
def test_replicas_that_are_given_the_same_are_one_process() -> None:
    """Convolutions and BatchNorm, whose gradients lie channels-last in memory."""
    how = TrainingSettings(iterations=5, batch_size=16, lr=0.05)
    with local_processes(Topology(2, replicas=2), CPU) as first:
        found = run(build_plain, Twice(), replace(how, replicas=2), first=first)
    expected = run(build_plain, Noise(), how).method.state_dict()
    for name, tensor in found.method.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)


def begin_and_wait(told: Any) -> None:
    """What a first process does that is killed: it starts another, and says which."""
    torch.set_num_threads(1)
    with local_processes(Topology(2), CPU):
        told.send([child.pid for child in active_children()])
        time.sleep(600)


@pytest.mark.slow
def test_processes_end_with_the_first_however_it_ends() -> None:
    here, there = Pipe()
    leader = get_context("spawn").Process(target=begin_and_wait, args=(there,))
    leader.start()
    assert here.poll(120)
    (pid,) = here.recv()
    leader.kill()
    leader.join()
    until = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < until, "a process goes on without the first"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return process_state(pid) != "Z"


def process_state(pid: int) -> str:
    """As the kernel has it; Z of one that has ended and that nobody has waited for."""
    status = Path(f"/proc/{pid}/stat")
    return status.read_text().rpartition(")")[2].split()[0] if status.exists() else ""
