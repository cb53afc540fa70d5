"""What training tells at each validation: the same however it is interrupted, and found without changing the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from methods.method import Method
from methods.training import checkpoint
from methods.training.epoch import Epoch
from methods.training.loop import Progress, Trained, train
from methods.training.scoring import error_and_loss
from methods.training.settings import TrainingSettings
from tests.methods.training.test_loop import CPU, ITERATIONS, Interrupted, Toy, build, interrupt, same, settings


def epochs_of(
    path: Path | None = None,
    *,
    method: Method | None = None,
    how: TrainingSettings | None = None,
    exit_errors: bool = True,
    record: Callable[[Epoch], None] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> tuple[list[Epoch], Trained]:
    data, found = Toy(), list[Epoch]()
    trained = train(
        method or build(),
        data,
        data.validation,
        how or settings(),
        seed=0,
        device=CPU,
        checkpoint=path,
        record=record or found.append,
        exit_errors=exit_errors,
        report=report,
    )
    return found, trained


def untimed(epochs: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in epochs]


def test_an_epoch_has_the_means_of_each_stage_and_the_errors_of_each_exit() -> None:
    steps: list[Progress] = []
    found, trained = epochs_of(report=lambda progress: steps.append(progress) if progress.validation_error is None else None)
    assert [(epoch.iteration, epoch.epoch) for epoch in found] == [(3, 1.0), (6, 2.0), (7, 7 / 3)]
    losses = {step.iteration: step.losses for step in steps}
    for epoch, iterations in zip(found, ((1, 2, 3), (4, 5, 6), (7,)), strict=True):
        means = [fmean(losses[iteration][k] for iteration in iterations) for k in range(3)]
        assert epoch.stage_losses == pytest.approx(means)
        assert len(epoch.exit_errors) == 3 and epoch.exit_errors[-1] == epoch.validation_error
    best = next(epoch for epoch in found if epoch.iteration == trained.best_iteration)
    assert (best.validation_error, best.validation_loss) == (trained.validation_error, trained.validation_loss)
    alone = [error_and_loss(trained.method, Toy().validation(), "fp32", exit=k)[0] for k in range(3)]
    assert best.exit_errors == tuple(alone)  # the method has the weights of the best epoch
    assert 0 < found[0].seconds < found[1].seconds < found[2].seconds
    cosine = [settings().lr * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2) for share in (3 / 7, 6 / 7)]
    rates = {epoch.iteration: epoch.scheduled_lr for epoch in epochs_of(how=settings(schedule="cosine(warmup=0.0)"))[0]}
    assert [rates[3], rates[6]] == pytest.approx(cosine)


@pytest.mark.parametrize("spec", ["dgl", "backprop", "early_exit", "predsim"])
def test_scoring_all_exits_changes_nothing_of_the_run(tmp_path: Path, spec: str) -> None:
    ends: list[tuple[Trained, Any]] = []
    for exit_errors in (True, False):
        path = tmp_path / f"{exit_errors}.pt"
        found, trained = epochs_of(path, method=build(spec), exit_errors=exit_errors, how=settings(precision="bf16"))
        assert all(bool(epoch.exit_errors) is exit_errors for epoch in found)
        saved = torch.load(path, weights_only=True)
        ends.append((trained, [saved["trainer"], saved["best"], saved["losses"]]))
    (one, saved), (other, also_saved) = ends
    assert same(saved, also_saved) and same(one.method.state_dict(), other.method.state_dict())
    assert (one.validation_error, one.validation_loss, one.train_loss) == (
        other.validation_error,
        other.validation_loss,
        other.train_loss,
    )


@pytest.mark.parametrize("saves", ["at epochs", "always"])
@pytest.mark.parametrize("where", ["after the row", "before the row"])
def test_a_run_that_goes_on_tells_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: str, where: str) -> None:
    """Stopped at every iteration, just before and just behind what is told of an epoch: those told, each once, are the same."""
    if saves == "always":
        monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", -1.0)
    expected = untimed(epochs_of()[0])
    told: dict[int, Epoch] = {}

    def record(at: set[int], epoch: Epoch) -> None:
        if where == "before the row" and epoch.iteration in at:
            at.remove(epoch.iteration)
            raise Interrupted
        told.setdefault(epoch.iteration, epoch)  # as the first row stays

    at = {3, 6, 7} if where == "before the row" else set(range(1, ITERATIONS + 1))
    left = set(at)
    for _ in range(len(at)):
        with pytest.raises(Interrupted):
            given = {"report": partial(interrupt, left)} if where == "after the row" else {}
            epochs_of(tmp_path / "run.pt", record=partial(record, left), **given)
    epochs_of(tmp_path / "run.pt", record=partial(record, set()))
    assert untimed(list(told.values())) == expected and list(told) == [3, 6, 7]


def test_time_in_which_nothing_runs_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]

    def clock() -> float:
        now[0] += 1e-6
        return now[0]

    monkeypatch.setattr("time.perf_counter", clock)

    def step(progress: Progress) -> None:
        if progress.validation_error is None:
            now[0] += 1
        if progress.iteration == 5 and now[0] < 1000:
            raise Interrupted

    path, found = tmp_path / "run.pt", list[Epoch]()
    with pytest.raises(Interrupted):
        epochs_of(path, record=found.append, report=step)
    now[0] += 10_000
    epochs_of(path, record=found.append, report=step)
    assert [epoch.iteration for epoch in found] == [3, 6, 7]
    assert [epoch.seconds for epoch in found] == pytest.approx([3, 6, 7], abs=0.01)


def test_checkpoints_of_older_versions_go_on_without_their_seconds(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(Interrupted):
        epochs_of(path, report=partial(interrupt, {5}))
    saved = torch.load(path, weights_only=True)
    torch.save({name: held for name, held in saved.items() if name not in ("elapsed", "epoch_losses")}, path)
    found, _ = epochs_of(path)
    assert [epoch.iteration for epoch in found] == [6, 7] and all(math.isnan(epoch.seconds) for epoch in found)
    assert [epoch.stage_losses for epoch in found] == [epoch.stage_losses for epoch in epochs_of()[0][1:]]


@pytest.mark.parametrize("grow", ["frozen", "training(starts=[0,0.3,0.3])"])
def test_stages_that_begin_later_come_later(grow: str) -> None:
    found, _ = epochs_of(how=settings(iterations=9, grow=grow))
    running = [len(epoch.stage_losses) for epoch in found]
    assert running == [len(epoch.exit_errors) for epoch in found] and running[0] == 1 and running[-1] == 3
    assert running == sorted(running)
    if grow == "frozen":  # each with the schedule of its own window
        assert [epoch.iteration for epoch in found] == [3, 6, 9]
        assert len({epoch.scheduled_lr for epoch in found}) == 1
