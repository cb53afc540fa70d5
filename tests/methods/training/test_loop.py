"""The training loop: to the bit the same however it is interrupted, and judged by the validation error alone."""

import copy
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.dgl import DGL
from methods.method import Carry, Method
from methods.table import METHODS, traits
from methods.training import checkpoint
from methods.training.batches import Batch
from methods.training.diverged import Diverged
from methods.training.loop import Progress, Trained, train
from methods.training.scoring import ErrorAndLoss, error_and_loss
from methods.training.settings import TrainingSettings
from methods.training.stages import worker
from methods.training.trainer import stage_seed
from spaces.decoupling import Decoupling
from spaces.named import read_space

CPU = torch.device("cpu")
SPACE = read_space("small(width=0.25)", (2, 8, 8), 3)
HERE = Path(__file__).resolve().parent
ITERATIONS = 7  # of 3 a epoch: validated after 3, 6 and 7


class Toy:
    """48 noisy images in 3 batches; which of them a batch holds depends on the seed and the iteration."""

    num_batches = 3

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.y = torch.arange(48) % 3
        self.x = torch.randn(3, 2, 1, 1, generator=generator)[self.y] + torch.randn(48, 2, 8, 8, generator=generator)

    def batch(self, seed: int, iteration: int) -> Batch:
        index = torch.randperm(48, generator=torch.Generator().manual_seed(1000 * seed + iteration))[:16]
        return self.x[index], self.y[index]

    def validation(self) -> Iterator[Batch]:
        yield from zip(self.x.split(20), self.y.split(20), strict=True)


def build(spec: str = "dgl", *, dropout: bool = False, seed: int = 0) -> Method:
    torch.manual_seed(seed)
    net = SPACE.build(traits(spec).adapt(Decoupling((2, 4), ("linear", "mlp_sr"))))
    if dropout:
        net.heads = nn.ModuleList(nn.Sequential(nn.Dropout(0.3), head) for head in net.heads)
    return METHODS.build(spec, net)


def settings(**others: Any) -> TrainingSettings:
    return TrainingSettings(**{"iterations": ITERATIONS, "batch_size": 16, "lr": 0.1} | others)


def run(
    path: Path | None = None,
    *,
    method: Method | None = None,
    how: TrainingSettings | None = None,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Trained:
    data = Toy()
    return train(
        method or build(), data, data.validation, how or settings(), seed=seed, device=CPU, checkpoint=path, report=report
    )


def tensors(state: Any) -> Any:
    """All of the tensors and numbers in a state, in order."""
    if isinstance(state, dict):
        state = [value for _, value in sorted(state.items(), key=lambda item: str(item[0]))]
    if isinstance(state, list | tuple):
        return list(chain.from_iterable(map(tensors, state)))
    return [state] if isinstance(state, torch.Tensor | float | int) else []


def same(state: Any, other: Any) -> bool:
    own, others = tensors(state), tensors(other)
    return len(own) == len(others) > 0 and all(map(torch.equal, map(torch.as_tensor, own), map(torch.as_tensor, others)))


def results(trained: Trained, path: Path) -> list[Any]:
    """What may not depend on interruptions: the outcome, and all that the last checkpoint holds but the seconds."""
    saved = torch.load(path, weights_only=True)
    assert saved["trainer"]["optimizers"][0]["state"]
    outcome = [trained.validation_error, trained.validation_loss, trained.best_iteration, trained.train_loss]
    return [outcome, trained.method.state_dict(), saved["trainer"], saved["best"], saved["losses"], saved["iteration"]]


class Interrupted(Exception):
    pass


def interrupt(at: set[int], progress: Progress) -> None:
    """Raise once at each iteration in `at`."""
    if progress.iteration in at:
        at.remove(progress.iteration)
        raise Interrupted


def run_interrupted(path: Path, at: set[int], make: Callable[[], Method], how: TrainingSettings) -> Trained:
    """Start anew after every interruption, as a user would."""
    at = set(at)
    for _ in range(len(at)):
        with pytest.raises(Interrupted):
            run(path, method=make(), how=how, report=partial(interrupt, at))
    assert not at
    return run(path, method=make(), how=how)


@pytest.fixture
def save_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)


@pytest.mark.parametrize("at", range(1, ITERATIONS + 1))
def test_resumes_to_the_bit_from_the_last_epoch(tmp_path: Path, at: int) -> None:
    full = results(run(tmp_path / "full.pt"), tmp_path / "full.pt")
    resumed = run_interrupted(tmp_path / "part.pt", {at}, build, settings())
    assert same(results(resumed, tmp_path / "part.pt"), full)


VARIANTS: dict[str, dict[str, Any]] = {
    "dgl": {},
    "dropout": {},
    "predsim": {},
    "backprop": {},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "multistep": {"schedule": "multistep(milestones=[0.3,0.8],warmup=0.2)", "optimizer": "sgd(nesterov=True)"},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "fp16 adam": {"precision": "fp16", "optimizer": "adam", "lr": 0.01},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.usefixtures("save_always")
def test_resumes_to_the_bit_when_interrupted_at_every_iteration(tmp_path: Path, variant: str) -> None:
    how = settings(**VARIANTS[variant])
    make = partial(build, variant if variant in set(METHODS) else "dgl", dropout=variant == "dropout")
    full = results(run(tmp_path / "full.pt", method=make(), how=how), tmp_path / "full.pt")
    resumed = run_interrupted(tmp_path / "part.pt", set(range(1, ITERATIONS + 1)), make, how)
    assert same(results(resumed, tmp_path / "part.pt"), full)


@pytest.mark.usefixtures("save_always")
def test_loss_scaling_that_backs_off_resumes_to_the_bit(tmp_path: Path) -> None:
    """Losses so large that the first scaled gradients overflow: the scale falls, and skipped steps change nothing."""

    class Steep(DGL):
        def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
            carry, loss = super().stage(k, carry, y)
            return carry, 100 * loss

    def make() -> Method:
        return Steep(build().net)

    how = settings(precision="fp16", lr=1e-3)
    full = results(run(tmp_path / "full.pt", method=make(), how=how), tmp_path / "full.pt")
    scales = [scaler["scale"] for scaler in torch.load(tmp_path / "full.pt", weights_only=True)["trainer"]["scalers"]]
    assert len(scales) == 3 and min(scales) < 65536
    resumed = run_interrupted(tmp_path / "part.pt", {1, 2, 4}, make, how)
    assert same(results(resumed, tmp_path / "part.pt"), full)


@pytest.mark.parametrize("saves", ["at epochs", "always"])
def test_losses_that_wait_on_the_device_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: str) -> None:
    """As on a GPU, where they are looked at every so many iterations."""
    full = results(run(tmp_path / "full.pt"), tmp_path / "full.pt")
    if saves == "always":
        monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    clock = worker.StepClock
    monkeypatch.setattr(worker, "StepClock", lambda interval: clock(5))
    resumed = run_interrupted(tmp_path / "part.pt", {3}, build, settings())
    assert same(results(resumed, tmp_path / "part.pt"), full)


def main(path: str) -> None:
    """What the process that is killed runs: training that saves at every iteration and says when it has begun."""
    torch.set_num_threads(1)
    checkpoint.SECONDS_BETWEEN = -1.0
    run(Path(path), method=build(dropout=True), how=settings(iterations=60), report=lambda progress: print(flush=True))


@pytest.mark.slow
def test_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "killed.pt"
    folders = [str(HERE), str(HERE.parents[2])]
    script = f"import sys; sys.path[:0] = {folders}; import test_loop; test_loop.main({str(path)!r})"
    reached, codes = [], []
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(random.randint(3, 12)):
                process.stdout.readline()
            time.sleep(random.uniform(0, 0.02))
            os.kill(process.pid, signal.SIGKILL)
        codes.append(process.returncode)
        reached.append(torch.load(path, weights_only=True)["iteration"])
    assert 0 < reached[0] < 60 and reached == sorted(reached)
    assert codes[0] == -signal.SIGKILL and set(codes) <= {-signal.SIGKILL, 0}
    finished = run(path, method=build(dropout=True), how=settings(iterations=60))
    full = run(tmp_path / "full.pt", method=build(dropout=True), how=settings(iterations=60))
    assert same(results(finished, path), results(full, tmp_path / "full.pt"))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = run(tmp_path / "run.pt")
    reports: list[Progress] = []
    again = run(tmp_path / "run.pt", method=build(seed=5), report=reports.append)
    assert not reports
    assert same(results(again, tmp_path / "run.pt"), results(first, tmp_path / "run.pt"))


@pytest.mark.parametrize("dropout", [False, True])
def test_equal_seeds_give_equal_bits_and_others_do_not(dropout: bool) -> None:
    def weights(seed: int) -> Any:
        torch.manual_seed(random.randrange(2**30))  # the global generator's state must not matter
        start = copy.deepcopy(build(dropout=dropout))
        return run(method=start, seed=seed).method.state_dict()

    assert same(weights(3), weights(3)) and not same(weights(3), weights(4))


def test_the_seed_reaches_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same batches for every seed, what differs is what is dropped."""
    batch = Toy.batch
    monkeypatch.setattr(Toy, "batch", lambda self, seed, iteration: batch(self, 0, iteration))
    weights = [run(method=build(dropout=True), seed=seed).method.state_dict() for seed in (0, 0, 1)]
    assert same(weights[0], weights[1]) and not same(weights[0], weights[2])
    assert same(*(run(method=build(), seed=seed).method.state_dict() for seed in (0, 1)))


def test_stages_iterations_and_seeds_have_seeds_of_their_own() -> None:
    seeds = {stage_seed(seed, iteration, k) for seed in range(5) for iteration in range(0, 10**6, 9973) for k in range(50)}
    assert len(seeds) == 5 * len(range(0, 10**6, 9973)) * 50
    assert all(0 <= seed < 2**63 for seed in (*seeds, stage_seed(-1, 0, 0), stage_seed(2**62, 10**6, 55)))


def test_validation_follows_epochs_and_the_end() -> None:
    reports: list[Progress] = []
    run(report=reports.append)
    assert [report.iteration for report in reports if report.validation_error is not None] == [3, 6, 7]
    assert sorted({report.iteration for report in reports}) == list(range(1, ITERATIONS + 1))
    assert all(len(report.losses) == 3 and report.iterations == ITERATIONS for report in reports)


@pytest.mark.parametrize(
    ("errors", "best"), [((0.3, 0.1, 0.2), 6), ((0.5, 0.4, 0.4), 6), ((0.2, 0.2, 0.2), 3), ((0.9, 0.8, 0.7), 7)]
)
@pytest.mark.parametrize("interrupted", [set(), {4, 7}])
def test_the_lowest_validation_error_decides_and_the_earlier_of_equals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: tuple[float, ...], best: int, interrupted: set[int]
) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}
    built: list[Method] = []

    class Scripted(ErrorAndLoss):
        def read(self) -> tuple[float, float]:
            weights = copy.deepcopy(built[-1].state_dict())
            iteration = int(weights["net.blocks.0.0.1.num_batches_tracked"])
            seen[iteration] = weights
            return dict(zip((3, 6, 7), errors, strict=True))[iteration], float(-iteration)  # the loss would choose the last

    def make() -> Method:
        built.append(build())
        return built[-1]

    monkeypatch.setattr(worker, "ErrorAndLoss", Scripted)
    trained = run_interrupted(tmp_path / "run.pt", interrupted, make, settings())
    assert (trained.validation_error, trained.validation_loss, trained.best_iteration) == (min(errors), -best, best)
    assert same(trained.method.state_dict(), seen[best])
    assert not same(seen[3], seen[6])


def test_error_and_loss_are_those_of_each_sample_alone() -> None:
    method, data = build(dropout=True), Toy()
    run(method=method)
    method.train()
    before = copy.deepcopy(method.state_dict())
    error, loss = error_and_loss(method, data.validation(), "fp32")
    assert method.training and same(method.state_dict(), before)
    method.eval()
    with torch.no_grad():
        logits = [method(x[None])[0] for x in data.x]  # batch statistics would show here
    wrong = [int(row.argmax()) != int(label) for row, label in zip(logits, data.y, strict=True)]
    assert error == pytest.approx(sum(wrong) / 48, abs=1e-9) and 0 < sum(wrong) < 48
    losses = [F.cross_entropy(row, label).item() for row, label in zip(logits, data.y, strict=True)]
    assert loss == pytest.approx(sum(losses) / 48, rel=1e-5)


@pytest.mark.parametrize(("bad_stage", "bad_iteration"), [(0, 0), (1, 2), (2, 5)])
@pytest.mark.parametrize("interval", [1, 50])
@pytest.mark.usefixtures("save_always")
def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad_stage: int, bad_iteration: int, interval: int
) -> None:
    class Spoilt(DGL):
        def stage(self, k: int, carry: Carry, y: torch.Tensor) -> tuple[Carry, torch.Tensor]:
            self.calls = getattr(self, "calls", -1) + 1
            carry, loss = super().stage(k, carry, y)
            return carry, loss * (math.nan if self.calls == 3 * bad_iteration + bad_stage else 1.0)

    clock = worker.StepClock
    monkeypatch.setattr(worker, "StepClock", lambda **_: clock(interval))
    with pytest.raises(Diverged, match=f"stage {bad_stage} is nan at iteration {bad_iteration};"):
        run(tmp_path / "run.pt", method=Spoilt(build().net))
    saved = checkpoint.Checkpoint(tmp_path / "run.pt", described=f"{settings()} seed=0").load(CPU)
    assert (saved or {"iteration": 0})["iteration"] == bad_iteration  # what follows is never saved


def test_a_learning_rate_that_is_far_too_high_diverges() -> None:
    with pytest.raises(Diverged, match="try a smaller lr"):
        run(how=settings(lr=1e30, schedule="multistep"))


def test_recomputing_units_changes_nothing_but_rounding() -> None:
    """Over a whole run in float32; tests of the network compare single steps in float64."""
    plain, again = (
        run(method=METHODS.build("dgl", seeded_net(checkpoint_units))).method.state_dict() for checkpoint_units in (False, True)
    )
    torch.testing.assert_close(again, plain, rtol=1e-2, atol=1e-3)
    assert not same(plain, build().state_dict())


def seeded_net(checkpoint_units: bool) -> nn.Module:
    torch.manual_seed(0)
    return SPACE.build(Decoupling((3,), ("linear",)), checkpoint_units=checkpoint_units)
