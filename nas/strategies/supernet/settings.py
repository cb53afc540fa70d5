"""The settings of a search with shared weights, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from spaces.notation.errors import UserError

COUNTS = {"iterations": 1, "snapshots": 1, "tune": 1, "candidates": 1, "outer_batch": 2, "trials": 1}  # the fewest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a search may be told. A UserError where a value cannot be.

    iterations   of the shared training; None for as many as a decoupling is trained for
    snapshots    from so many states of it, spread over its second half, candidates are tuned
    tune         steps of each candidate from each snapshot; a cosine from `lr` down
    lr           of tuning; None for a fifth of the training settings'. Larger ones shake the weights more than they tell
    candidates   decouplings that are tuned: all of the space, or so many at random
    smooth       rank by what a Gaussian process over where cuts lie and what blocks cost makes of the losses, all of the space if
                 it is not large, which averages the noise of tuning over decouplings that are alike; or by the losses themselves
    outer_batch  validation samples that judge a candidate
    trials       of the best in the ranking so many are trained wholly
    """

    iterations: int | None = None
    snapshots: int = 2
    tune: int = 20
    lr: float | None = None
    candidates: int = 200
    smooth: bool = True
    outer_batch: int = 2048
    trials: int = 5

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, fewest in COUNTS.items():
            if given[name] is not None and given[name] < fewest:
                raise UserError(f"supernet's {name} is a whole number from {fewest} on, got {given[name]}")
        if self.lr is not None and not 0 < self.lr < math.inf:
            raise UserError(f"supernet's lr is a number above 0, got {self.lr}")
