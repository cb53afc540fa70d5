"""What a trained run answers to new inputs, and at which depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch.utils._pytree import tree_map_only

from methods.training.scoring import autocast
from nas.data.new.input_kind import NewInputs
from nas.exits.adaptive import adaptive
from nas.exits.confidence import ConfidenceRule
from nas.records.spreadsheet import csv_text
from nas.runs.trained_run import WAY_OUT, SavedExit, TrainedRun
from spaces.notation.errors import UserError

BATCH_SIZE = 256


@dataclass(frozen=True)
class Prediction:
    """One input's answer: its class, the probability that the exit gives it, the depth of that exit, and the
    multiply-accumulates that were spent (those of a text are counted for one of full length)."""

    input: str
    answer: str
    probability: float
    depth: int
    macs: int


def predict(
    run: TrainedRun,
    inputs: NewInputs,
    rule: ConfidenceRule,
    *,
    budget: int | None = None,
    threshold: float | None = None,
    calibrated: bool = False,
    device: torch.device,
) -> list[Prediction]:
    """The answers, in the order of `inputs.names`; of inputs that cannot be read (`inputs.fault`) none.

    With a `threshold` an input leaves at the first exit at which `rule` gives as much; without, all leave at one exit: the
    last, or under a `budget` the one that was best on validation. `budget` is how many multiply-accumulates an input may take
    at most; one that no exit keeps is a UserError. With `calibrated` the temperatures that were fitted on validation divide the
    logits; a run without them is a UserError. Computed in the precision of the run, whose errors and temperatures are those of
    its rounding.
    """
    exits = affordable(run.exits, budget, on_the_way=threshold is not None)
    stop = exits[-1] if threshold is not None or budget is None else min(exits, key=lambda exit: exit.validation_error)
    method = run.build().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    of_depth = {exit.depth: exit for exit in run.exits}
    temperatures = [temperature_of(run, of_depth[k + 1], calibrated) if k + 1 in of_depth else 1.0 for k in range(stop.depth)]
    classes: Sequence[str] = run.inputs["classes"]
    found: dict[int, Prediction] = {}
    for index, x in inputs.batches(BATCH_SIZE):
        x = tree_map_only(torch.Tensor, lambda part: part.to(device), x)
        with torch.inference_mode(), autocast(device, run.key["precision"]):  # type: ignore[arg-type]
            if threshold is None:
                logits = method.exit(stop.depth - 1, x).float() / temperatures[stop.depth - 1]
                depths = torch.full((len(logits),), stop.depth)
            else:
                logits, depths = adaptive(method, x, rule, threshold, temperatures=temperatures, max_depth=stop.depth)
        sure, answers = logits.softmax(1).max(1)
        columns = (tensor.tolist() for tensor in (index, answers, sure, depths))
        for place, answer, probability, depth in zip(*columns, strict=True):
            macs = of_depth[depth].macs if threshold is None else of_depth[depth].path_macs
            found[place] = Prediction(inputs.names[place], classes[answer], probability, depth, macs)
    return [found[place] for place in sorted(found)]


def temperature_of(run: TrainedRun, exit: SavedExit, calibrated: bool) -> float:
    """What divides the logits of the exit; with `calibrated` a run that was fitted none is a UserError."""
    if not calibrated or exit.temperature != 1:  # of a file of an older version, whose run was calibrated
        return exit.temperature
    if exit.fitted_temperature is None:
        raise UserError(
            f"--calibrate divides by temperatures that were fitted on validation, got the run {run.name} without any "
            f"at depth {exit.depth}; leave --calibrate out, or {WAY_OUT}"
        )
    return exit.fitted_temperature


def predictions_csv(predictions: Sequence[Prediction]) -> str:
    """A line an input, below a header; no name of a file or class is a formula."""
    return csv_text([asdict(found) for found in predictions])


def affordable(exits: Sequence[SavedExit], budget: int | None, *, on_the_way: bool) -> list[SavedExit]:
    """The exits within the budget, with the answers of all exits before them or without."""

    def cost(exit: SavedExit) -> int:
        return exit.path_macs if on_the_way else exit.macs

    within = [exit for exit in exits if budget is None or cost(exit) <= budget]
    if not within:
        raise UserError(
            f"the cheapest answer of this run takes {min(map(cost, exits)):,} multiply-accumulates, got a budget of "
            f"{budget:,}; its exits take {', '.join(f'{cost(exit):,}' for exit in exits)}"
        )
    return within
