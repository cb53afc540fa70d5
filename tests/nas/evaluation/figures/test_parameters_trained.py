"""The parameters that a run trains are those that training changes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from methods.method import Method
from methods.table import METHODS
from methods.training.loop import train
from nas.evaluation.figures import measured
from nas.evaluation.figures.training_run import TrainingRun
from nas.problem import Problem
from nas.records.columns import COLUMNS
from spaces.decoupling import Decoupling
from tests.nas.evaluation.test_evaluator import POINT, make, make_problem
from tests.nas.runs.test_extension import trained_run


def changed(problem: Problem, method: Method) -> tuple[int, object]:
    """How many parameters lie in tensors that gradients changed, and how many the figure says."""
    learn = {name: parameter for name, parameter in method.named_parameters() if parameter.requires_grad}  # MAN's averages do not
    before = {name: parameter.detach().clone() for name, parameter in learn.items()}
    trained_stages = problem.trained_stages(method)
    with measured((), TrainingRun(method, problem.device, trained_stages)) as figures:
        train(
            method,
            problem.data.train_batches(problem.settings.batch_size),
            partial(problem.data.eval_batches, problem.data.validation, 64),
            problem.settings,
            seed=0,
            device=problem.device,
            trained_stages=trained_stages,
        )
        said = figures()["parameters_trained"]
    return sum(parameter.numel() for name, parameter in learn.items() if not parameter.equal(before[name])), said


@pytest.mark.parametrize("name", METHODS)
def test_each_method(tmp_path: Path, name: str) -> None:
    problem = make_problem(tmp_path)
    problem = replace(problem, method=str(METHODS.resolve(name)), settings=replace(problem.settings, iterations=3))
    known, said = changed(problem, problem.build(problem.adapt(POINT.with_head("none") if name == "al" else POINT)))
    assert known == said > 0


@pytest.mark.parametrize("grow", ["frozen", "training(starts=[0,0.3,0.6])"])
def test_progressive_training_counts_each_stage_once(tmp_path: Path, grow: str) -> None:
    problem = make_problem(tmp_path)
    method = problem.build(POINT)
    known, said = changed(replace(problem, settings=replace(problem.settings, grow=grow)), method)
    assert known == said == sum(parameter.numel() for parameter in method.parameters())


def test_what_an_extension_leaves_as_it_was_does_not_count(tmp_path: Path) -> None:
    problem = make_problem(tmp_path)
    short = replace(
        problem,
        space=type(problem.space)(
            "prefix(of='small(width=0.25)',units=4)", problem.space.heads, input_shape=(2, 8, 8), num_classes=3
        ),
    )
    longer = replace(problem, extends=trained_run(short, "2:linear"))
    method = longer.build(Decoupling((2, 4), ("linear", "linear")))
    known, said = changed(longer, method)
    assert known == said < sum(parameter.numel() for parameter in method.parameters())


def test_a_row_has_it(tmp_path: Path) -> None:
    row = make(make_problem(tmp_path)).run(POINT)
    assert int(row["parameters_trained"]) == int(row["params"]) + int(row["head_params"])
    assert not row.get("energy_joules")
    assert all("evaluate" in COLUMNS[column].files for column in row)
