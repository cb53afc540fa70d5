"""Error against mean cost of adaptive inference, from the recorded answers of all exits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from nas.exits.answers import ExitAnswers, ExitCost
from nas.exits.confidence import CONFIDENCES

NUM_THRESHOLDS = 9


@dataclass(frozen=True)
class CurvePoint:
    """Adaptive inference by one rule at one threshold: the share of wrong answers, and mean multiply-accumulates of a sample
    (`ExitCost.path_macs`), on both splits; `test_shares` of the test samples left at each depth. `chosen` is decided on
    validation alone (`curve`)."""

    rule: str
    threshold: float
    validation_error: float
    validation_macs: float
    test_error: float
    test_macs: float
    test_shares: tuple[float, ...]
    chosen: bool = False


def curves(validation: ExitAnswers, test: ExitAnswers, costs: Sequence[ExitCost]) -> list[CurvePoint]:
    """`curve` of every confidence rule, one behind the other."""
    return [point for rule in CONFIDENCES for point in curve(rule, validation, test, costs)]


def curve(rule: str, validation: ExitAnswers, test: ExitAnswers, costs: Sequence[ExitCost]) -> list[CurvePoint]:
    """A point for each threshold, cheapest first, the full path last; none where there is one exit.

    Chosen is the cheapest whose validation error is no larger than that of any single exit, the full path among them, which
    the first exit may outdo; where there is none, the cheapest of those with the smallest error.
    """
    sure, sure_of_test = (answers.confidences(CONFIDENCES[rule]) for answers in (validation, test))
    levels = thresholds(sure)
    on_validation = [_left(validation, sure, threshold, costs) for threshold in levels]
    on_test = [_left(test, sure_of_test, threshold, costs) for threshold in levels]
    best = min(validation.errors())
    chosen = min(range(len(levels)), key=lambda i: (max(on_validation[i].error, best), on_validation[i].macs), default=None)
    return [
        CurvePoint(rule, threshold, own.error, own.macs, tested.error, tested.macs, tested.shares, chosen=i == chosen)
        for i, (threshold, own, tested) in enumerate(zip(levels, on_validation, on_test, strict=True))
    ]


def thresholds(sure: torch.Tensor) -> list[float]:
    """Rising thresholds for confidences (K, N): evenly spread ones of the values above 0 at the exits before the last, and
    infinity; none where there is one exit.

    At the lowest nearly all leave at the first exit that may let them go, at infinity all stay to the end, also those whose
    confidence was rounded to 1, the largest that there is.
    """
    early = sure[:-1].flatten()
    values = early[early > 0].unique()
    places = torch.linspace(0, len(values) - 1, min(NUM_THRESHOLDS, len(values))).round().long()
    return [*values[places].tolist(), math.inf] if len(sure) > 1 else []


def leaving(sure: torch.Tensor, threshold: float) -> torch.Tensor:
    """(N,): the exit at which each sample leaves, for confidences (K, N): the first that is sure enough, or the last."""
    enough = sure >= threshold
    enough[-1] = True
    return enough.int().argmax(0)


class _Left(NamedTuple):
    error: float
    macs: float
    shares: tuple[float, ...]


def _left(answers: ExitAnswers, sure: torch.Tensor, threshold: float, costs: Sequence[ExitCost]) -> _Left:
    """The error, the mean MACs and the share that leaves at each exit."""
    exits = leaving(sure, threshold)
    wrong = answers.logits.argmax(2).gather(0, exits[None])[0] != answers.y
    shares = torch.bincount(exits, minlength=len(sure)).double() / len(exits)
    macs = torch.tensor([cost.path_macs for cost in costs], dtype=torch.float64)
    return _Left(wrong.double().mean().item(), float(shares @ macs), tuple(shares.tolist()))
