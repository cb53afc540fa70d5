"""What is better of two short trainings."""

from __future__ import annotations

import math

from nas.problem import Score
from nas.records.status import OK


def rank(score: Score) -> tuple[bool, float]:
    """Sorts scores, the best first: by error, what failed behind all that did not. An error that is no number is that of a run
    that was wrong always."""
    return score.status != OK, score.error if math.isfinite(score.error) else 1.0
