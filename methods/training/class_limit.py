"""Batches of few classes at the beginning of training, as in PredSim's recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spaces.notation.errors import UserError
from spaces.notation.table import Table


@dataclass(frozen=True)
class ClassLimit:
    """The batches of the first `iterations` hold samples of `num` classes each."""

    num: int
    iterations: int


def classes(iterations: int, *, num: int, until: float = 1.0) -> ClassLimit:
    """`num` random classes a batch over the share `until` of the iterations.

    num    classes of a batch
    until  the share of training that has such batches; those after have all classes
    """
    if num < 1:
        raise UserError(f"num is how many classes a batch holds, from 1 on, got {num}")
    if not 0 < until <= 1:
        raise UserError(f"until is a share of the iterations in (0, 1], got {until}; 0.5 means the first half")
    return ClassLimit(num, math.ceil(until * iterations))


CLASS_LIMITS: Table[ClassLimit] = Table("class limit", {"classes": classes}, makes=ClassLimit)
