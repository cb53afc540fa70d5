"""What may be trained next."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Sequence

from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

KEPT = 3  # of the best so far, whose neighbours are candidates


class Candidates:
    """All decouplings of a space of at most `pool`, or as many different ones at random, those of `known`, and all neighbours of
    the best."""

    def __init__(self, space: SearchSpace, pool: int, seed: int, known: Sequence[Decoupling] = ()) -> None:
        self.space = space
        self.is_all = space.size <= pool
        self._rng = random.Random(seed)
        drawn = space.enumerate() if self.is_all else (space.sample(self._rng) for _ in range(pool))
        self.points = list(dict.fromkeys((*drawn, *known)))

    def unseen(self, seen: Container[Decoupling], best: Sequence[Decoupling]) -> list[Decoupling]:
        """Those that are not in `seen`, `best` being the best so far, the best first; never empty while the space has some."""
        points = self.points
        if not self.is_all:
            around = (point for near in best[:KEPT] for point in neighbours(self.space, near))
            points = list(dict.fromkeys((*points, *around)))
        found = [point for point in points if point not in seen]
        while not found:
            found = [point for point in [self.space.sample(self._rng)] if point not in seen]
        return found


def neighbours(space: SearchSpace, point: Decoupling) -> Iterator[Decoupling]:
    """The decouplings of the space with one cut moved to the next gap, left out or added, or one head replaced."""
    pairs = tuple(zip(point.cuts, point.heads, strict=True))
    for i, (cut, head) in enumerate(pairs):
        others = pairs[:i] + pairs[i + 1 :]
        yield from _inside(space, others)
        yield from (near for other in space.heads if other != head for near in _inside(space, (*others, (cut, other))))
        at = space.gaps.index(cut)
        for gap in (*space.gaps[max(0, at - 1) : at], *space.gaps[at + 1 : at + 2]):
            yield from _inside(space, (*others, (gap, head)))
    for gap in space.gaps:
        for head in space.heads:
            yield from _inside(space, (*pairs, (gap, head)))


def _inside(space: SearchSpace, pairs: tuple[tuple[int, str], ...]) -> Iterator[Decoupling]:
    ordered = sorted(pairs)
    if len({cut for cut, _ in ordered}) < len(ordered):
        return
    point = Decoupling(tuple(cut for cut, _ in ordered), tuple(head for _, head in ordered))
    try:
        space.check(point)
    except UserError:
        return
    yield point
