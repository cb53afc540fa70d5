"""What answers is not what trains: nothing that only reads a network keeps its activations for a backward pass."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from methods.method import Method
from methods.training.scoring import error_and_loss
from nas.evaluation.measurements.ensemble import ensemble_error
from nas.exits.adaptive import adaptive
from nas.exits.answers import exit_answers
from nas.exits.confidence import max_softmax
from nas.exits.predict import predict
from nas.exits.timing import exit_seconds
from nas.problem import Problem
from nas.runs.trained_run import SavedExit, TrainedRun
from spaces.decoupling import Decoupling
from spaces.memory.peak_memory import PeakMemory
from spaces.notation.errors import UserError

CUT = "2:linear 4:linear"


class Noise:
    """New inputs."""

    names = tuple(map(str, range(64)))

    def batches(self, size: int) -> Any:
        yield torch.arange(64), torch.randn(64, 1, 8, 8)


def run_of(problem: Problem, method: Method, folder: Path) -> TrainedRun:
    key = {"method": problem.method, "backbone": str(problem.space.backbone), "decoupling": CUT, "precision": "fp32"}
    exits = tuple(SavedExit(depth, depth, depth, 0.5) for depth in (1, 2, 3))
    return TrainedRun(folder, key, problem.data.inputs, exits, method.state_dict())  # type: ignore[arg-type]


@pytest.fixture
def problem(digits_problem: Callable[[], Problem]) -> Problem:
    return replace(digits_problem(), method="dgl(label_smoothing=0.1)")


def with_exits(run: TrainedRun, *exits: SavedExit) -> TrainedRun:
    return replace(run, exits=exits)


def test_calibrated_answers_are_the_same_and_surer_by_the_fitted_temperature(problem: Problem, tmp_path: Path) -> None:
    torch.manual_seed(0)
    method = problem.build(Decoupling.parse(CUT)).eval()
    run = run_of(problem, method, tmp_path)
    run = with_exits(run, *(replace(exit, fitted_temperature=0.5) for exit in run.exits))

    class Once(Noise):
        inputs = torch.randn(64, 1, 8, 8)

        def batches(self, size: int) -> Any:
            yield torch.arange(64), self.inputs

    plain, calibrated = (
        predict(run, Once(), max_softmax, calibrated=asked, device=torch.device("cpu"))  # type: ignore[arg-type]
        for asked in (False, True)
    )
    logits = method.exit(2, Once.inputs).float()
    for found, temperature in ((plain, 1.0), (calibrated, 0.5)):
        expected = (logits / temperature).softmax(1).max(1)
        assert [one.probability for one in found] == pytest.approx(expected.values.tolist(), rel=1e-4)
    assert [one.answer for one in plain] == [one.answer for one in calibrated]


def test_a_run_of_an_older_version_is_calibrated_as_it_was_or_not_at_all(problem: Problem, tmp_path: Path) -> None:
    run = run_of(problem, problem.build(Decoupling.parse(CUT)), tmp_path)
    device = torch.device("cpu")
    with pytest.raises(UserError, match="--calibrate divides .* without any at depth"):
        predict(run, Noise(), max_softmax, calibrated=True, device=device)  # type: ignore[arg-type]
    older = with_exits(run, *(replace(exit, temperature=1e6) for exit in run.exits))
    for asked in (False, True):
        found = predict(older, Noise(), max_softmax, calibrated=asked, device=device)  # type: ignore[arg-type]
        assert found[0].probability == pytest.approx(0.1, rel=1e-3)


READERS: dict[str, Callable[..., Any]] = {
    "predict": lambda method, run, data: predict(run, Noise(), max_softmax, device=torch.device("cpu")),  # type: ignore[arg-type]
    "predict with a threshold": lambda method, run, data: predict(
        run, Noise(), max_softmax, threshold=0.5, device=torch.device("cpu")
    ),  # type: ignore[arg-type]
    "error_and_loss": lambda method, run, data: error_and_loss(method, data(), "fp32"),
    "an exit's error_and_loss": lambda method, run, data: error_and_loss(method, data(), "fp32", 0),
    "exit_answers": lambda method, run, data: exit_answers(method, data(), "fp32"),
    "ensemble_error": lambda method, run, data: ensemble_error(method, data(), 3, "fp32"),
    "adaptive": lambda method, run, data: adaptive(method, next(data())[0], max_softmax, 0.5),
}


@pytest.mark.parametrize("reader", READERS)
def test_what_answers_keeps_no_graph(reader: str, problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No activation requires a gradient, and no more of them are alive than a forward pass without one takes."""
    method = problem.build(Decoupling.parse(CUT))
    run, seen = run_of(problem, method, tmp_path), []
    data = partial(problem.data.eval_batches, problem.data.validation, 64)
    hook = torch.nn.modules.module.register_module_forward_hook(lambda module, given, made: seen.append(made.requires_grad))
    try:
        with PeakMemory() as memory:
            READERS[reader](method.eval(), run, data)
    finally:
        hook.remove()
    assert seen and not any(seen)
    with PeakMemory() as graph:
        x = torch.randn(64, 1, 8, 8)
        list(method.exits(x))
    assert "predict" not in reader or memory.peak < graph.peak


def test_timing_keeps_no_graph(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.exits.timing.BUDGET", 1e-9)
    method, seen = problem.build(Decoupling.parse(CUT)).eval(), []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda module, given, made: seen.append(made.requires_grad))
    try:
        exit_seconds(method, problem.data, problem.data.validation, 64, [("max_softmax", 0.5)], None, "fp32")
    finally:
        hook.remove()
    assert seen and not any(seen)
