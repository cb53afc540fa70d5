"""The allowed sets of cuts against all subsets of the gaps, tried one by one."""

from __future__ import annotations

import math
import random
from itertools import combinations, pairwise

import pytest

from spaces.cut_sets import CutSets


def draw(seed: int) -> CutSets:
    rng = random.Random(seed)
    num_units = rng.randint(1, 9)
    gaps = tuple(sorted(rng.sample(range(1, num_units), rng.randrange(num_units))))
    return CutSets(num_units, gaps, rng.choice([1, 1, 2, 3]))


def brute(sets: CutSets, num_cuts: int) -> list[tuple[int, ...]]:
    return [
        cuts
        for cuts in combinations(sets.gaps, num_cuts)
        if all(stop - start >= sets.min_block for start, stop in pairwise((0, *cuts, sets.num_units)))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_count_list_and_rank_agree_with_trying_all(seed):
    sets = draw(seed)
    for num_cuts in range(len(sets.gaps) + 2):
        allowed = brute(sets, num_cuts)
        assert sets.count(num_cuts) == len(allowed)
        assert list(sets.enumerate(num_cuts)) == allowed
        assert [sets.unrank(num_cuts, index) for index in range(len(allowed))] == allowed


@pytest.mark.parametrize("seed", range(60))
def test_best_is_the_best_of_all_and_the_earliest_of_equals(seed):
    sets, rng = draw(seed), random.Random(seed)
    scores = {(i, gap): rng.randint(-3, 3) for i in range(9) for gap in sets.gaps}
    for num_cuts in range(len(sets.gaps) + 2):
        allowed = brute(sets, num_cuts)
        best = max(allowed, key=lambda cuts: sum(scores[i, cut] for i, cut in enumerate(cuts)), default=None)
        assert sets.best(num_cuts, lambda i, gap: scores[i, gap]) == best


@pytest.mark.parametrize("seed", range(60))
def test_smallest_largest_is_the_smallest_of_all(seed):
    sets, rng = draw(seed), random.Random(seed)
    costs = {(start, stop): rng.randint(0, 9) for stop in range(1, 10) for start in range(stop)}

    def largest(cuts: tuple[int, ...]) -> int:
        return max(costs[pair] for pair in pairwise((0, *cuts, sets.num_units)))

    for num_cuts in range(len(sets.gaps) + 2):
        allowed = brute(sets, num_cuts)
        found = sets.smallest_largest(num_cuts, lambda start, stop: costs[start, stop])
        if not allowed:
            assert found is None
        else:
            assert found in allowed
            assert largest(found) == min(map(largest, allowed))


def test_many_units_are_no_trouble():
    sets = CutSets(200, tuple(range(1, 200)), 5)
    assert sets.count(20) == math.comb(200 - 5 * 21 + 20, 20)
    assert sets.unrank(20, sets.count(20) - 1) == tuple(range(100, 200, 5))
    assert sets.best(39, lambda i, gap: 0.0) == tuple(range(5, 200, 5))
