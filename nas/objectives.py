"""What a search may minimise, and what is left when it minimises several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nas.problem import Score
from spaces.notation.errors import UserError, unknown

OBJECTIVES: dict[str, Callable[[Score], float]] = {
    "error": lambda score: score.error,  # validation error, a share
    "peak_memory": lambda score: float(score.peak_activation_bytes),  # bytes
    "pipeline": lambda score: 1 / score.pipeline_speedup_bound,  # the largest stage's share of a step's seconds
}


def checked_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each known and named once, `error` among them; anything else is a UserError.

    Without `error` nothing would have to be trained, and the answer would be the cheapest network, however bad.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise unknown("objective", name, OBJECTIVES)
    if len(set(names)) < len(names) or "error" not in names:
        raise UserError(f"objectives are error and others beside it, each once, got {' '.join(names)}")
    return tuple(names)


def measured(score: Score, objectives: Sequence[str]) -> tuple[float, ...]:
    """The score's value in each objective; lower is better in all."""
    return tuple(OBJECTIVES[name](score) for name in objectives)


def pareto_front(points: Sequence[tuple[float, ...]]) -> list[int]:
    """The positions, rising, of the points that no other point equals or beats in every value; of equals the first."""
    front: list[int] = []
    for position in sorted(range(len(points)), key=points.__getitem__):  # what dominates a point sorts before it
        if not any(all(a <= b for a, b in zip(points[kept], points[position], strict=True)) for kept in front):
            front.append(position)
    return sorted(front)
