"""What a trial takes of a task's samples: a random share of those for training and for validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, TypeVar

import numpy as np
import torch

from nas.data.stratified import complete, lacking


class Divisible(Protocol):
    """Samples of any kind, as far as parts are taken of them."""

    @property
    def labels(self) -> torch.Tensor: ...

    def __len__(self) -> int: ...

    def at(self, index: torch.Tensor) -> Self: ...


P = TypeVar("P", bound=Divisible)


def random_share(samples: P, share: float) -> P:
    """A random `share` of the samples, rounded but at least one, in their order; the same at every call.

    It is stratified where a class would else be left out.
    """
    order, count = np.random.default_rng((0, 2)).permutation(len(samples)), max(1, round(share * len(samples)))
    chosen = complete(order, samples.labels.cpu().numpy(), count)[:count]
    return samples.at(torch.from_numpy(np.sort(chosen)))


def trial_parts(train: P, validation: P, share: float, names: Sequence[str] | None) -> tuple[P, P, tuple[str, ...]]:
    """A random `share` of both, and a line on the classes that each then lacks."""
    parts = random_share(train, share), random_share(validation, share)
    return (
        *parts,
        (
            *lacking("training in this trial", parts[0].labels, train.labels, names),
            *lacking("validation in this trial", parts[1].labels, validation.labels, names),
        ),
    )
