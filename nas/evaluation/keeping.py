"""Keeping a run that has just been trained: its weights, and what its exits cost and are worth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from methods.method import Method
from methods.table import answers_early
from methods.training.loop import error_and_loss
from nas.exits.answers import exit_answers, exit_costs
from nas.problem import Problem
from nas.records.results_log import Cell
from nas.runs.trained_run import KeptExit, TrainedRun
from spaces.decoupling import Decoupling


def kept_run(path: Path, key: Mapping[str, Cell], problem: Problem, decoupling: Decoupling, method: Method, batch_size: int, *,
             calibrated: bool) -> TrainedRun:
    """What is to be saved at `path` of an evaluation, whose row has the cells `key` and is named after them."""
    exits = _exits(problem, decoupling, method, batch_size, calibrated=calibrated)
    weights = {name: tensor.detach().cpu() for name, tensor in method.state_dict().items()}
    return TrainedRun(path, dict(key), problem.data.inputs, exits, weights)


def _exits(problem: Problem, decoupling: Decoupling, method: Method, batch_size: int, *,
           calibrated: bool) -> tuple[KeptExit, ...]:
    """All exits; where heads answer nothing, the last alone."""
    data, precision = problem.data, problem.settings.precision
    costs = exit_costs(lambda: problem.build(decoupling), data.input_shape)
    read = partial(data.eval_batches, data.validation, batch_size)
    if answers_early(problem.method):
        answers = exit_answers(method, read(), precision)
        errors = answers.errors()
        temperatures = answers.temperatures() if calibrated else [1.0] * len(errors)
    else:
        errors, temperatures = [error_and_loss(method, read(), precision)[0]], [1.0]
    first = len(costs) - len(errors)
    places = enumerate(zip(costs[first:], errors, temperatures, strict=True), start=first + 1)
    return tuple(KeptExit(depth, own.macs, own.path_macs, error, temperature) for depth, (own, error, temperature) in places)
