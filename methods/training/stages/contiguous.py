"""Which stages go to which process: contiguous ones, so that each process passes its carries on to the next only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from spaces.cut_sets import CutSets


def contiguous(seconds: Sequence[float], num_processes: int) -> tuple[range, ...]:
    """The stages of each process, in order and at least one each: of all such plans the one in which the slowest process
    takes the least time, when stage k takes `seconds[k]` (dynamic programming).

    The processes are 1..len(seconds); a command that is asked for more tells its user, and here it is a ValueError.
    """
    num_stages = len(seconds)
    if not 1 <= num_processes <= num_stages:
        raise ValueError(f"{num_stages} stages go to 1..{num_stages} processes, got {num_processes}")
    until = [0.0, *accumulate(seconds)]
    borders = CutSets(num_stages, gaps=tuple(range(1, num_stages)), min_block=1)
    chosen = borders.smallest_largest(num_processes - 1, lambda start, stop: until[stop] - until[start])
    assert chosen is not None, "no border is forbidden"
    return tuple(range(start, stop) for start, stop in pairwise((0, *chosen, num_stages)))
