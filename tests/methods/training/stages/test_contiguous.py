"""Plans of stages for processes against all plans, tried one by one."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from methods.training.stages.contiguous import contiguous


def slowest(seconds: list[float], plan: tuple[range, ...]) -> float:
    return max(sum(seconds[k] for k in stages) for stages in plan)


@pytest.mark.parametrize("seed", range(20))
def test_the_slowest_process_is_the_fastest_of_all_plans(seed: int) -> None:
    rng = random.Random(seed)
    seconds = [rng.choice([0.0, rng.random(), rng.random() * 10]) for _ in range(rng.randint(1, 8))]
    for processes in range(1, len(seconds) + 1):
        plan = contiguous(seconds, processes)
        assert len(plan) == processes and all(len(stages) > 0 for stages in plan)
        assert [k for stages in plan for k in stages] == list(range(len(seconds)))
        every = [
            tuple(range(start, stop) for start, stop in pairwise((0, *borders, len(seconds))))
            for borders in combinations(range(1, len(seconds)), processes - 1)
        ]
        assert slowest(seconds, plan) == pytest.approx(min(slowest(seconds, other) for other in every))


def test_a_plan_by_hand() -> None:
    assert contiguous([3, 1, 1, 1, 2, 4], 3) == (range(0, 2), range(2, 5), range(5, 6))


@pytest.mark.parametrize("processes", [0, 4])
def test_more_processes_than_stages_or_none_are_refused(processes: int) -> None:
    with pytest.raises(ValueError, match="3 stages go to 1..3 processes"):
        contiguous([1.0, 2.0, 3.0], processes)
