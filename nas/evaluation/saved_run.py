"""What is saved of a run that has just been trained: its weights, and what its exits cost and are worth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from methods.method import Method
from methods.table import traits
from methods.training.scoring import error_and_loss
from nas.evaluation.measurements.measurement import EVAL_BATCH_SIZE
from nas.exits.answers import exit_answers, exit_costs
from nas.problem import Problem
from nas.records.log import Cell
from nas.runs.trained_run import SavedExit, TrainedRun
from spaces.decoupling import Decoupling


def run_to_save(
    path: Path,
    key: Mapping[str, Cell],
    problem: Problem,
    decoupling: Decoupling,
    method: Method,
    weights: Mapping[str, torch.Tensor],
) -> TrainedRun:
    """What is to be saved at `path` of a run whose row has the cells `key` and is named after them; `method` has `weights`."""
    return TrainedRun(path, dict(key), problem.data.inputs, _exits(problem, decoupling, method), dict(weights))


def _exits(problem: Problem, decoupling: Decoupling, method: Method) -> tuple[SavedExit, ...]:
    """All exits, with the temperature of each; where heads give no logits, the last alone, with none."""
    data, precision = problem.data, problem.settings.precision
    costs = exit_costs(lambda: problem.build(decoupling), data.input_shape)
    read = partial(data.eval_batches, data.validation, EVAL_BATCH_SIZE)
    temperatures: list[float | None] = [None]
    if traits(problem.method).has_exit_logits:
        answers = exit_answers(method, read(), precision)
        errors, temperatures = answers.errors(), [*answers.temperatures()]
    else:
        errors = [error_and_loss(method, read(), precision)[0]]
    first = len(costs) - len(errors)
    places = enumerate(zip(costs[first:], errors, temperatures, strict=True), start=first + 1)
    return tuple(
        SavedExit(depth, own.macs, own.path_macs, error, fitted_temperature=fitted) for depth, (own, error, fitted) in places
    )
