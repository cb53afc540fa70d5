"""Growing: a stage trains in its window and nowhere else, on the best of what was frozen, and nothing before it can tell."""

import copy
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.method import Carry, Method
from methods.table import traits
from methods.training import checkpoint
from methods.training import loop as training
from methods.training.growth import GROWTHS, Window, check_grows, stage_windows
from methods.training.loop import Progress
from methods.training.scoring import ErrorAndLoss, error_and_loss
from methods.training.settings import TrainingSettings
from methods.training.stages import worker
from methods.training.trainer import Trainer
from nas.testing import toy_batch
from spaces.notation.errors import UserError
from tests.methods.test_contract import VARIANTS
from tests.methods.test_contract import build as contract_build
from tests.methods.training.test_loop import Toy, build, results, run, run_interrupted, same, settings

CPU = torch.device("cpu")
BUILT = {
    name: contract_build(name)
    for name in (*VARIANTS, "al on lstm", "dgl on transformer")
    if traits(name.partition(" ")[0]).has_exit_logits
}
GROWN = [name for name, method in BUILT.items() if method.num_stages > 1]
READING = [name for name in GROWN if BUILT[name].reads(0)]


def own(method: Method, k: int) -> dict[str, torch.Tensor]:
    """A copy of all the tensors of stage k."""
    return copy.deepcopy(nn.ModuleList(method.stage_modules(k)).state_dict())


def steps(name: str, grow: str | None, iterations: int = 6) -> Iterator[tuple[Method, Trainer]]:
    """The method after each iteration."""
    method = contract_build(name)
    how = TrainingSettings(iterations=iterations, batch_size=16, lr=0.01, optimizer="adam", grow=grow)
    trainer = Trainer(method, how, seed=0, device=CPU)
    for iteration in range(iterations):
        trainer.step(*toy_batch(method, seed=iteration), iteration)
        yield method, trainer


@pytest.mark.parametrize(
    ("grow", "expected"),
    [
        (None, [(0, 9), (0, 9), (0, 9)]),
        ("frozen", [(0, 3), (3, 6), (6, 9)]),
        ("training", [(0, 9), (3, 9), (6, 9)]),
        ("frozen(starts=[0,0.5,0.9])", [(0, 4), (4, 8), (8, 9)]),
        ("training(starts=[0,0,0.5])", [(0, 9), (0, 9), (4, 9)]),
    ],
)
def test_windows(grow: str | None, expected: list[tuple[int, int]]) -> None:
    assert list(stage_windows(grow, 3, 9)) == expected
    assert list(stage_windows(grow, 5, 9, trained=2)) == [(0, 0), (0, 0), *expected]


@pytest.mark.parametrize("num_stages", [2, 3, 7])
@pytest.mark.parametrize("iterations", [7, 20, 1001])
def test_frozen_windows_part_the_iterations_and_training_ones_reach_the_end(num_stages: int, iterations: int) -> None:
    trains = {
        grow: [
            [k for k, window in enumerate(stage_windows(grow, num_stages, iterations)) if window.start <= iteration < window.end]
            for iteration in range(iterations)
        ]
        for grow in GROWTHS
    }
    last = [max(stages) for stages in trains["training"]]
    assert last == sorted(last) and set(last) == set(range(num_stages))
    assert trains["frozen"] == [[k] for k in last]
    assert trains["training"] == [list(range(k + 1)) for k in last]


@pytest.mark.parametrize(
    ("grow", "num_stages", "says"),
    [
        ("frozen", 1, "for one"),
        ("frozen(starts=[0,0.5])", 3, "one a stage"),
        ("training(starts=[0.1,0.5])", 2, "the first 0"),
        ("training(starts=[0,0.5,0.4])", 3, "none before"),
        ("training(starts=[0,1])", 2, "in \\[0, 1\\)"),
        ("frozen", 5, "stage 2 of 5"),
        ("frozen(starts=[0,0])", 2, "stage 0 of 2"),
        ("training(starts=[0,0.99])", 2, "after the last of 4"),
        ("training(starts=[0,nan_])", 2, "a number"),
        ("thawed", 2, "frozen"),
        ("training(starts=[])", 2, "one a stage"),
    ],
)
def test_what_cannot_be_grown_is_refused(grow: str, num_stages: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        stage_windows(TrainingSettings(grow=grow).grow, num_stages, 4)


def test_growing_that_is_joint_training_has_no_effect() -> None:
    check_grows("training(starts=[0,0,0.5])", 3, 8)
    with pytest.raises(UserError, match="lets all 3 stages train all the time"):
        check_grows("training(starts=[0,0,0])", 3, 8)


def test_stages_that_are_trained_already_are_none_that_grow() -> None:
    with pytest.raises(UserError, match="for one"):
        stage_windows("frozen", 3, 9, trained=2)


@pytest.mark.parametrize("name", GROWN)
def test_grown_without_delay_is_joint_training_to_the_bit(name: str) -> None:
    def trained(grow: str | None) -> list[Any]:
        method = contract_build(name)
        data = Toy()
        data.batch = lambda seed, iteration: toy_batch(method, seed=iteration)  # type: ignore[method-assign]
        how = TrainingSettings(iterations=7, batch_size=16, lr=0.01, grow=grow)
        result = training.train(method, data, lambda: iter([toy_batch(method, seed=99)]), how, seed=0, device=CPU)
        outcome = [result.validation_error, result.validation_loss, result.best_iteration, result.train_loss]
        return [outcome, result.method.state_dict()]

    assert same(trained("training(starts=[0,0,0])"), trained(None))


@pytest.mark.parametrize("name", [name for name in GROWN if name not in READING])
def test_a_stage_cannot_tell_when_later_ones_begin(name: str) -> None:
    """At every iteration; and so the first is that of joint training."""
    runs = [steps(name, grow) for grow in ("training(starts=[0,0.3,0.6])", "training(starts=[0,0.3,0.3])", None)]
    for (grown, _), (earlier, _), (joint, _) in zip(*runs, strict=True):
        assert same(own(grown, 0), own(joint, 0))
        assert all(same(own(grown, k), own(earlier, k)) for k in (0, 1))
    assert not same(own(grown, 1), own(joint, 1)) and not same(own(grown, 2), own(earlier, 2))


@pytest.mark.parametrize("grow", ["frozen", "training"])
@pytest.mark.parametrize("name", GROWN)
def test_a_stage_changes_in_its_window_alone(name: str, grow: str) -> None:
    """Its buffers too; its optimizer knows nothing before."""
    before = [own(contract_build(name), k) for k in range(3)]
    for iteration, (method, trainer) in enumerate(steps(name, grow)):
        for k, (start, end) in enumerate(trainer.windows):
            now = own(method, k)
            assert same(now, before[k]) == (not start <= iteration < end), (k, iteration)
            before[k] = now
            assert bool(trainer.optimizers[k].state) == (start <= iteration)


def test_frozen_growth_is_one_plain_training_after_another() -> None:
    """The second block learns from the first in evaluation mode, each with the whole schedule; without validation inside."""
    how = settings(iterations=8, grow="frozen", weight_decay=1e-3, schedule="multistep(milestones=[0.5],gamma=0.1)")
    data, method, other = Toy(), build(), build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data.num_batches = 1000
    training.train(method, data, data.validation, how, seed=0, device=CPU)
    bounds = stage_windows("frozen", 3, 8)
    for k, (start, end) in enumerate(bounds):
        block, head, trained = other.net.blocks[k], other.net.heads[k], other.net.blocks[:k].eval()
        optimizer = torch.optim.SGD([*block.parameters(), *head.parameters()], 0.1, 0.9, weight_decay=1e-3, fused=True)
        for iteration in range(start, end):
            x, y = data.batch(0, iteration)
            with torch.no_grad():
                for earlier in trained:
                    x = earlier(x)
            optimizer.param_groups[0]["lr"] = 0.1 if (iteration + 1 - start) / (end - start) < 0.5 else 0.01
            optimizer.zero_grad()
            F.cross_entropy(head(block(x)), y, label_smoothing=0.1 * 3 / 2).backward()
            optimizer.step()
    assert same(method.state_dict(), other.state_dict())


@pytest.mark.parametrize("name", [name for name in GROWN if name in ("al", "dgl", "man", "contsup", "al on lstm")])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_an_exit_is_validated_as_it_answers(name: str, k: int) -> None:
    *_, (method, _) = steps(name, None)
    data = [toy_batch(method, size, seed=7) for size in (20, 9)]
    error, loss = error_and_loss(method, iter(data), "fp32", k)
    assert method.training
    method.eval()
    with torch.no_grad():
        answers = [(list(method.exits(x))[k], y) for x, y in data]
    logits, y = (torch.cat(parts) for parts in zip(*answers, strict=True))
    assert error == pytest.approx((logits.argmax(1) != y).double().mean().item())
    assert loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)


def test_later_blocks_do_not_run_before_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in training nor in validation."""
    seen: list[tuple[int, int]] = []
    method = build()
    reports: list[Progress] = []
    for k, block in enumerate(method.net.blocks):
        block.register_forward_hook(lambda *_, k=k: seen.append((len(reports), k)))  # type: ignore[misc]
    run(method=method, how=settings(iterations=9, grow="training"), report=reports.append)
    first = {k: min(when for when, block in seen if block == k) for k in range(3)}
    assert [len(report.losses) for report in reports] == [1] * 4 + [2] * 4 + [3] * 4  # validated after 3, 6 and 9 too
    assert first == {0: 0, 1: 4, 2: 8}
    assert all(math.isfinite(loss) for report in reports for loss in report.losses)


@pytest.mark.parametrize(("grow", "kept"), [("frozen", [2, 6, 8]), ("training", [8, 8, 8])])
def test_the_best_of_each_phase_is_frozen_and_of_the_last_is_the_result(
    monkeypatch: pytest.MonkeyPatch, grow: str, kept: list[int]
) -> None:
    """Validated after every second iteration and each phase of three, at the exit that the phase has reached."""
    errors = {2: 0.1, 3: 0.2, 4: 0.7, 6: 0.6, 8: 0.8, 9: 0.9}
    seen: dict[int, list[dict[str, torch.Tensor]]] = {}
    exits: dict[int, int | None] = {}
    done = [0]

    class Scripted(ErrorAndLoss):
        def read(self) -> tuple[float, float]:
            seen[done[0]] = [own(method, k) for k in range(3)]
            return errors[done[0]], 1.0

    def exit_logits(k: int, carry: Carry) -> torch.Tensor:
        exits[done[0]] = k
        return type(method).exit_logits(method, k, carry)

    monkeypatch.setattr(worker, "ErrorAndLoss", Scripted)
    data = Toy()
    data.num_batches = 2
    method = build()
    monkeypatch.setattr(method, "exit_logits", exit_logits)
    trained = training.train(
        method,
        data,
        data.validation,
        settings(iterations=9, grow=grow),
        seed=0,
        device=CPU,
        report=lambda progress: done.__setitem__(0, progress.iteration),
    )
    assert exits == {2: 0, 3: 0, 4: 1, 6: 1, 8: 2, 9: 2}
    assert (trained.validation_error, trained.best_iteration) == (0.8, 8)
    assert all(same(own(method, k), seen[iteration][k]) for k, iteration in enumerate(kept))
    assert not same(seen[2][0], seen[3][0]) and not same(seen[4][1], seen[6][1]) and not same(seen[8][2], seen[9][2])


@pytest.mark.parametrize("grow", ["frozen", "training", "frozen(starts=[0,0.2,0.8])"])
@pytest.mark.parametrize("always", [False, True])
def test_resumes_to_the_bit_after_an_interruption_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grow: str, always: bool
) -> None:
    """At the borders of phases too; from the last epoch or the last border, or from the last iteration."""
    if always:
        monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    how, make = settings(iterations=10, grow=grow), partial(build, dropout=True)
    full = results(run(tmp_path / "full.pt", method=make(), how=how), tmp_path / "full.pt")
    places = [set(range(1, 11))] if always else [{at} for at in range(1, 11)]
    for number, at in enumerate(places):
        resumed = run_interrupted(tmp_path / f"{number}.pt", at, make, how)
        assert same(results(resumed, tmp_path / f"{number}.pt"), full)


def test_losses_of_two_phases_may_wait_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    how = settings(iterations=10, grow="frozen")
    one = run(how=how).method.state_dict()
    clock = worker.StepClock
    monkeypatch.setattr(worker, "StepClock", lambda interval: clock(50))
    assert same(run(how=how).method.state_dict(), one)


def test_a_window_is_a_pair() -> None:
    assert Window(0, 3) == (0, 3) and str(TrainingSettings(grow="frozen( starts=[0, 0.5] )").grow) == "frozen(starts=[0.0,0.5])"
