"""Inputs that an export is tried with: those of the test split where the run's data are here, else noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from methods.method import Method
from nas.data.task_data import TaskData
from nas.exports.functions import input_noise
from nas.runs.trained_run import TrainedRun
from nas.tasks import TASKS
from spaces.notation.errors import UserError
from spaces.notation.own_modules import names_of_a_file

MOST, AT_ONCE = 512, 64


@dataclass(frozen=True)
class Samples:
    """Batches of inputs, with the labels where there are any; what they are, in words; and how many samples the splits have.

    counts  by split, `validation` and `test`; empty where the data are not here, and `missing` then says why
    """

    batches: Sequence[tuple[object, torch.Tensor | None]]
    described: str
    counts: dict[str, int]
    missing: str | None = None


def samples_of(run: TrainedRun, method: Method, num_features: int, data_dir: Path) -> Samples:
    """The first inputs of the test split, or noise where the task's data are not here, or not those of the run."""
    task = str(run.key["task"])
    try:
        with names_of_a_file():
            data = TASKS.build(task, data_dir)
        missing = None if _is_of(run, data) else f"{task} is other data here than when the run was trained"
    except UserError as error:
        missing = str(error)
    if missing:
        x = input_noise(method, num_features, AT_ONCE)
        return Samples([(x, None)], f"{AT_ONCE} random inputs", {}, missing)
    test = data.test()
    batches = list(_first(data.eval_batches(test, AT_ONCE)))
    share = run.key.get("scale")
    validation = data.scaled(float(share)).validation if share else data.validation
    count, name = sum(len(y) for _, y in batches), task.partition("(")[0]
    described = f"all {count:,}" if count == len(test) else f"the first {count:,} of {len(test):,}"
    return Samples(batches, f"{described} test inputs of {name}", {"validation": len(validation), "test": len(test)})


def _is_of(run: TrainedRun, data: TaskData) -> bool:
    """Whether the data are those that the run was trained on; runs of older versions do not say."""
    return all(run.key.get(name) in (None, cell) for name, cell in data.content.items())


def _first(batches: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Up to `MOST` samples of them."""
    count = 0
    for x, y in batches:
        yield x, y
        count += len(y)
        if count >= MOST:
            return
