"""The Pareto front against a comparison of every pair, and what may be minimised."""

import random
from itertools import product

import pytest

from nas.objectives import OBJECTIVES, checked_objectives, measured, pareto_front
from nas.problem import Score
from spaces.notation.errors import UserError


def brute_force(points):
    """A point stays if none is as good everywhere and better somewhere, and no earlier one is the same."""

    def beats(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))

    return [i for i, point in enumerate(points) if not any(beats(other, point) for other in points) and point not in points[:i]]


@pytest.mark.parametrize(("values", "num_points", "seed"), list(product((1, 2, 3, 4), (1, 2, 7, 60), range(5))))
def test_the_front_is_that_of_every_pair(values, num_points, seed):
    rng = random.Random(seed)
    points = [tuple(float(rng.randrange(6)) for _ in range(values)) for _ in range(num_points)]  # many ties
    assert pareto_front(points) == brute_force(points)


def test_a_front_by_hand():
    assert pareto_front([(3, 1), (1, 3), (2, 2), (2, 3), (1, 3), (4, 1)]) == [0, 1, 2]
    assert pareto_front([]) == []


def test_each_objective_is_lower_where_the_score_is_better():
    good, bad = Score(0.1, 0.0, 100, 4.0), Score(0.2, 0.0, 300, 2.0)
    assert measured(good, tuple(OBJECTIVES)) == (0.1, 100.0, 0.25) and measured(bad, ["pipeline", "error"]) == (0.5, 0.2)


@pytest.mark.parametrize("names", [["error"], ["error", "pipeline"], ["peak_memory", "error"], list(OBJECTIVES)])
def test_objectives_keep_their_order(names):
    assert checked_objectives(names) == tuple(names)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["error", "eror"], "'eror'.*error"),
        (["memory", "error"], "peak_memory"),
        (["pipeline"], "got pipeline"),
        (["error", "error"], "each once, got error error"),
    ],
)
def test_objectives_that_cannot_be(names, said):
    with pytest.raises(UserError, match=said):
        checked_objectives(names)
