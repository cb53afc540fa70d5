"""Draws of samples that leave no class out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

_SHOWN = 6  # how many classes a note names


def complete(order: np.ndarray, labels: np.ndarray, count: int, *, rest: bool = False) -> np.ndarray:
    """`order` itself, int64 (N,), where its first `count` places (with `rest`, those behind them, too) hold each class.

    Otherwise the same places stratified: any first part holds about the same share of each class, and one sample of each comes
    first; with `rest` one of each stays last. Where there are too few samples for that some class is still left out.
    """
    sizes = np.bincount(labels)
    first = np.bincount(labels[order[:count]], minlength=len(sizes))
    if ((first > 0) | (sizes == 0)).all() and (not rest or ((first < sizes) | (sizes == 0)).all()):
        return order
    classes = labels[order]
    numbers = np.empty_like(order)  # each place's number among those of its class
    numbers[np.argsort(classes, kind="stable")] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    share = (numbers + 0.5) / sizes[classes]
    share[numbers == 0] = 0
    if rest:
        share[numbers == sizes[classes] - 1] = 1
    return order[np.argsort(share, kind="stable")]


def lacking(part: str, labels: torch.Tensor, whole: torch.Tensor, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """A line on the classes of the `whole` of which the part has no sample; none where it has all."""
    classes = whole.unique()
    absent = sorted(set(classes.tolist()) - set(labels.tolist()))
    if not absent:
        return ()
    said = ", ".join(str(label) if names is None else names[label] for label in absent[:_SHOWN])
    return (f"{part} has no sample of {len(absent)} of {len(classes)} classes: {said}{', ...' * (len(absent) > _SHOWN)}",)
