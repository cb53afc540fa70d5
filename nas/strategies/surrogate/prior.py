"""What is known of other functions before the first score: of other searches, or of short trainings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Prior(NamedTuple):
    """Features (N, D), and values (N,) of mean 0 and variance 1 within each source; sources are numbered from 1 on."""

    features: np.ndarray
    values: np.ndarray
    sources: np.ndarray


def joined(priors: Sequence[Prior]) -> Prior | None:
    """All of them, their sources apart; None of none."""
    if not priors:
        return None
    numbers, highest = [], 0
    for prior in priors:
        numbers.append(prior.sources + highest)
        highest = int(numbers[-1].max())
    features, values = ([prior[column] for prior in priors] for column in (0, 1))
    return Prior(np.concatenate(features), np.concatenate(values), np.concatenate(numbers))
