"""The brackets of Hyperband: how many decouplings are trained for how much of the iterations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bracket:
    """Successive halving: `size` decouplings begin at fidelity eta^-s, and at each rung the best of eta go on, up to fidelity 1.

    sizes       of the rungs, one decoupling at least
    fidelities  of the rungs, the last is 1
    """

    s: int
    size: int
    eta: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(max(1, self.size // self.eta**i) for i in range(self.s + 1))

    @property
    def fidelities(self) -> tuple[float, ...]:
        return tuple(1 / self.eta ** (self.s - i) for i in range(self.s + 1))

    def cost(self, iterations_at: Callable[[float], int], *, own_schedules: bool = False) -> int:
        """Iterations of all of it, where a decoupling that goes on continues its checkpoint, or with `own_schedules` begins
        anew."""
        ends = [iterations_at(fidelity) for fidelity in self.fidelities]
        if own_schedules:
            return sum(size * end for size, end in zip(self.sizes, ends, strict=True))
        return sum(size * (end - before) for size, end, before in zip(self.sizes, ends, [0, *ends], strict=False))


def brackets(eta: int, min_fidelity: float, iterations: int) -> tuple[Bracket, ...]:
    """Those of Hyperband, the one with the most decouplings first (Li et al. 2018, algorithm 1): with R = 1 / `min_fidelity`, so
    that the first rung has an iteration at least,

        s_max = floor(log_eta R),   n = ceil((s_max + 1) / (s + 1) * eta^s),   r = eta^-s,   s = s_max, ..., 0.
    """
    most = min(1 / min_fidelity, iterations)
    s_max = math.floor(math.log(most) / math.log(eta) + 1e-9)
    return tuple(Bracket(s, -(-(s_max + 1) * eta**s // (s + 1)), eta) for s in range(s_max, -1, -1))


def fitting(bracket: Bracket, iterations: int, cost: Callable[[Bracket], int]) -> Bracket | None:
    """The bracket with as many decouplings as so many iterations are enough for; where they are not for one, one decoupling that
    is trained wholly at once; None where they are not for that."""
    smaller = [Bracket(bracket.s, size, bracket.eta) for size in range(bracket.size, 0, -1)]
    return next((one for one in (*smaller, Bracket(0, 1, bracket.eta)) if cost(one) <= iterations), None)


def promoted(ranked: Sequence[tuple[bool, float]], places: int) -> list[int]:
    """The positions of those that go on, of (failed, error) each: the lowest errors, the earlier of equals. What failed goes on
    only where all did, and then one alone, so that there is an answer."""
    order = sorted(range(len(ranked)), key=lambda i: (*ranked[i], i))
    return [i for i in order[:places] if not ranked[i][0]] or order[:1]
