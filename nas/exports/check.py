"""Whether what was written answers as the run does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from methods.method import Method
from methods.training.scoring import autocast
from methods.training.settings import Precision
from nas.exits.adaptive import Answers, adaptive
from nas.exits.confidence import CONFIDENCES
from nas.exports.exported import Exported
from nas.exports.formats.export_format import ExportFormat
from nas.exports.functions import Tree
from nas.exports.samples import Samples
from spaces.notation.errors import UserError

TOLERANCE = 1e-3  # of the largest logit: far above the rounding of float32, far below what changes answers
SAME_DEPTHS = 0.98  # rounding alone may decide whether an input leaves that is just as sure as the threshold


@dataclass(frozen=True)
class Checked:
    """What the files answered to samples, beside the run itself.

    samples         what they were
    max_difference  the largest between two logits of one sample, in float32; with a rule, of samples that left alike
    same_answers    the share of samples with the same class, `same_depths` that with the same exit
    rounding        for a run in another precision: the largest difference to its logits there, `same_when_rounded` the share
                    of samples whose class is the same
    at_depth        how many samples leave at each exit
    error           the share of wrong answers of the files; None for samples without labels
    """

    samples: str
    max_difference: float
    same_answers: float
    same_depths: float
    at_depth: dict[int, int]
    error: float | None
    rounding: float | None
    same_when_rounded: float | None


@torch.no_grad()
def check(exported: Exported, written: ExportFormat, folder: Path, samples: Samples) -> Checked:
    """Compare the files in the folder with the run. A difference that rounding does not explain is a UserError."""
    method = exported.method
    precision: Precision = exported.run.key["precision"]  # type: ignore[assignment]
    came, wanted, rounded, wrong = [], [], [], []
    for x, y in samples.batches:
        answers = written.answers(exported, folder, [tensor.contiguous() for tensor in Tree.of(x)[1]])
        came.append(answers)
        wanted.append(_answers(exported, method, x))
        if precision in ("bf16", "fp16"):
            with autocast(torch.device("cpu"), precision):
                rounded.append(_answers(exported, method, x))
        if y is not None:
            wrong.append(answers.logits.argmax(1) != y)
    files, run = _joined(came), _joined(wanted)
    alike = files.depths == run.depths
    difference = _largest_difference(files, run)
    same_depths = float(alike.double().mean())
    if not difference <= TOLERANCE * max(1.0, float(run.logits.abs().max())) or same_depths < SAME_DEPTHS:
        raise UserError(
            f"exported files answer as the run does, got logits that differ by {difference:.3g} and {same_depths:.1%} of the "
            f"inputs at the run's exit, on {samples.described}; nothing is kept, take --to torch"
        )
    in_precision = _joined(rounded) if rounded else None
    return Checked(
        samples.described,
        difference,
        _same_answers(files, run),
        same_depths,
        {depth: int((files.depths == depth).sum()) for depth in exported.depths},
        float(torch.cat(wrong).double().mean()) if wrong else None,
        None if in_precision is None else _largest_difference(files, in_precision),
        None if in_precision is None else _same_answers(files, in_precision),
    )


def _answers(exported: Exported, method: Method, x: Any) -> Answers:
    """Those of the run itself."""
    if exported.adaptive is None:
        logits = method.exit(exported.depth - 1, x).float() / exported.temperatures[-1]
        return Answers(logits, torch.full((len(logits),), exported.depth))
    rule = CONFIDENCES[exported.adaptive.rule]
    return adaptive(method, x, rule, exported.adaptive.threshold, temperatures=exported.temperatures, max_depth=exported.depth)


def _joined(answers: Iterable[Answers]) -> Answers:
    """Of all batches."""
    return Answers(*map(torch.cat, zip(*answers, strict=True)))


def _largest_difference(one: Answers, other: Answers) -> float:
    """Between logits of samples that left at the same exit."""
    alike = one.depths == other.depths
    return float((one.logits - other.logits)[alike].abs().max()) if alike.any() else 0.0


def _same_answers(one: Answers, other: Answers) -> float:
    return float((one.logits.argmax(1) == other.logits.argmax(1)).double().mean())
