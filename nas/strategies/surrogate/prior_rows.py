"""What other searches found, of other spaces or tasks, as features and values."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean

import numpy as np

from nas.problem import Problem
from nas.records.partial import whole_rows
from nas.records.results import log_at
from nas.records.row_kinds import TRIALS
from nas.records.status import OK
from nas.strategies.surrogate.features import Features
from nas.strategies.surrogate.prior import Prior
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

SAME = ("method", "backbone", "task", "iterations", "batch_size", "lr", "scale")  # columns that are alike within a source
FEWEST = 5  # decouplings of a source; fewer say nothing of how they compare
MOST = 100  # values in all: the process takes the cube of their number


def prior_rows(path: Path, problem: Problem) -> Prior:
    """The validation errors in an evaluate.csv, search.csv or trials.csv: means over seeds, apart by what was trained, and how.

    Of so many decouplings that they would take long, some at random. A file in which this search writes is a UserError, since
    it would ask another question each time it goes on, and so are rows whose networks take other inputs than the problem's.
    """
    if path.resolve().parent == problem.results.folder.resolve():
        raise UserError(f"surrogate's prior is a file that the search does not write to, got {path}; copy it to another folder")
    rows = [row for row in whole_rows(log_at(path, TRIALS).rows()) if row.get("status") == OK and row.get("validation_error")]
    sources = {name: errors for name, errors in _sources(rows).items() if len(errors) >= FEWEST}
    if not sources:
        raise UserError(
            f"surrogate's prior has {FEWEST} decouplings or more that were trained alike, but {path} has none; leave prior out"
        )
    share = min(1.0, MOST / sum(map(len, sources.values())))
    rng = random.Random(problem.seed)
    features, values, numbers = [], [], []
    for number, ((_, backbone, *_), errors) in enumerate(sorted(sources.items()), start=1):
        kept = rng.sample(sorted(errors), max(FEWEST, round(share * len(errors))))
        found = np.array([errors[text] for text in kept])
        points = [Decoupling.parse(text) for text in kept]
        features.append(Features(_space(path, backbone, points, problem)).of_all(points))
        values.append((found - found.mean()) / (found.std() or 1.0))
        numbers += [number] * len(kept)
    return Prior(np.concatenate(features), np.concatenate(values), np.array(numbers))


def _sources(rows: Iterable[Mapping[str, str]]) -> dict[tuple[str, ...], dict[str, float]]:
    """The mean validation error of each decoupling, by what is alike."""
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in rows:
        source = found.setdefault(tuple(row.get(name, "") for name in SAME), {})
        source.setdefault(row["decoupling"], []).append(float(row["validation_error"]))
    return {name: {point: fmean(errors) for point, errors in source.items()} for name, source in found.items()}


def _space(path: Path, backbone: str, points: list[Decoupling], problem: Problem) -> SearchSpace:
    heads = sorted({head for point in points for head in point.heads}) or list(problem.space.heads)
    try:
        return SearchSpace(backbone, heads, input_shape=problem.space.input_shape, num_classes=problem.space.num_classes)
    except UserError as error:
        raise UserError(f"surrogate's prior {path} has rows of {backbone}, which this task does not fit: {error}") from None
