"""The Pareto front of two numbers, the lower the better."""

from __future__ import annotations

import math
from collections.abc import Sequence


def front_of(pairs: Sequence[tuple[float, float]]) -> list[int]:
    """The positions of the pairs that no other equals or beats in both, by their first number, rising; of equals the first."""
    best, front = math.inf, []
    for position in sorted(range(len(pairs)), key=pairs.__getitem__):
        if pairs[position][1] < best:
            best = pairs[position][1]
            front.append(position)
    return front
