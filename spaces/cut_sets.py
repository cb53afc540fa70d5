"""The sets of cuts that a space allows: counted, listed, drawn and optimised by dynamic programming over the gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

Cuts = tuple[int, ...]


class CutSets:
    """All ways to cut `num_units` units at `gaps` so that every block has at least `min_block` units."""

    def __init__(self, num_units: int, gaps: Cuts, min_block: int) -> None:
        self.num_units, self.gaps, self.min_block = num_units, gaps, min_block
        self._ways = cache(self._count_ways)

    def count(self, num_cuts: int) -> int:
        """How many sets of `num_cuts` cuts are allowed."""
        return self._ways(0, num_cuts)

    def uses(self, num_cuts: int, gap: int) -> bool:
        """Whether some allowed set of `num_cuts` cuts has this one."""
        cuts = self.best(num_cuts, lambda _, cut: float(cut == gap))
        return cuts is not None and gap in cuts

    def unrank(self, num_cuts: int, index: int) -> Cuts:
        """The set at `index` in lexicographic order, 0 <= index < count(num_cuts)."""
        cuts: list[int] = []
        start = 0
        for remaining in range(num_cuts - 1, -1, -1):
            for gap in self._after(start):
                ways = self._ways(gap, remaining)
                if index < ways:
                    cuts.append(gap)
                    start = gap
                    break
                index -= ways
        return tuple(cuts)

    def enumerate(self, num_cuts: int) -> Iterator[Cuts]:
        """Every allowed set of `num_cuts` cuts, in lexicographic order."""
        return (self.unrank(num_cuts, index) for index in range(self.count(num_cuts)))

    def best(self, num_cuts: int, score: Callable[[int, int], float]) -> Cuts | None:
        """The set with the largest sum of `score(i, cut)` over its i-th cuts; ties go to the earlier cuts, None if none.

        With no constraint and a score of the gap alone this is the top-`num_cuts` rule.
        """

        @cache
        def solve(start: int, i: int) -> tuple[float, Cuts] | None:
            if i == num_cuts:
                return (0.0, ()) if self._ways(start, 0) else None
            best: tuple[float, Cuts] | None = None
            for gap in self._after(start):
                rest = solve(gap, i + 1)
                if rest is not None and (best is None or score(i, gap) + rest[0] > best[0]):
                    best = (score(i, gap) + rest[0], (gap, *rest[1]))
            return best

        found = solve(0, 0)
        return None if found is None else found[1]

    def smallest_largest(self, num_cuts: int, cost: Callable[[int, int], float]) -> Cuts | None:
        """The set whose most expensive block, `cost(first unit, unit after the last)`, is cheapest; None if none."""

        @cache
        def solve(start: int, remaining: int) -> tuple[float, Cuts] | None:
            if remaining == 0:
                return (cost(start, self.num_units), ()) if self._ways(start, 0) else None
            best: tuple[float, Cuts] | None = None
            for gap in self._after(start):
                rest = solve(gap, remaining - 1)
                if rest is not None:
                    largest = max(cost(start, gap), rest[0])
                    if best is None or largest < best[0]:
                        best = (largest, (gap, *rest[1]))
            return best

        found = solve(0, num_cuts)
        return None if found is None else found[1]

    def _after(self, start: int) -> Iterator[int]:
        return (gap for gap in self.gaps if gap >= start + self.min_block)

    def _count_ways(self, start: int, remaining: int) -> int:
        if remaining == 0:
            return int(self.num_units - start >= self.min_block)
        return sum(self._ways(gap, remaining - 1) for gap in self._after(start))
