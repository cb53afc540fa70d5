"""A search that remembers what it was told, and the front of several."""

from types import SimpleNamespace

import pytest

from nas.problem import Found, Score, silent
from nas.search import Evaluated, common_front, search
from spaces.decoupling import Decoupling

A, B, C = (Decoupling((cut,), ("linear",)) for cut in (1, 3, 5))


class Asks:
    """A strategy that asks for all points of its table, and answers as it was told to."""

    def __init__(self, table, found):
        self.table, self.found = table, found

    def search(self, problem, evaluate, report):
        for point in self.table:
            evaluate(point)
        return self.found


def searched(seed, table, found):
    """What a search of points with these errors and bytes gives."""
    scores = {point: Score(error, 0.0, size, 2.0) for point, (error, size) in table.items()}
    return search(Asks(scores, found), SimpleNamespace(seed=seed), scores.__getitem__, silent)


def test_it_holds_what_was_asked_for_in_order():
    result = searched(7, {C: (0.3, 1), A: (0.2, 2)}, Found(A, notes=("sure",)))
    assert (result.seed, list(result.scores), result.score.error, result.found.notes) == (7, [C, A], 0.2, ("sure",))
    assert result.evaluated == [Evaluated(7, point, result.scores[point]) for point in (C, A)]


def test_an_answer_that_was_never_evaluated_is_a_bug_of_the_strategy():
    with pytest.raises(AssertionError, match="evaluates what it recommends"):
        searched(0, {A: (0.2, 2)}, Found(B))


def test_the_front_of_several_searches_is_that_of_their_fronts():
    """What one search has on its front another may dominate, also with the same decoupling trained from another seed."""
    first = searched(0, {A: (0.10, 90), B: (0.20, 50), C: (0.40, 20)}, Found(A, (A, B, C)))
    second = searched(1, {A: (0.15, 90), B: (0.30, 60), C: (0.30, 20)}, Found(A, (A, C)))
    front = common_front([second, first], ("error", "peak_memory"))
    assert [(point.seed, point.decoupling) for point in front] == [(0, A), (0, B), (1, C)]
    assert [point.score.error for point in front] == [0.10, 0.20, 0.30]


def test_a_strategy_without_a_front_stands_there_with_its_answer():
    alone = searched(3, {A: (0.10, 90), B: (0.20, 50)}, Found(A))
    assert common_front([alone], ("error", "peak_memory")) == [Evaluated(3, A, alone.scores[A])]


def test_for_one_objective_it_is_the_best_answer_the_earlier_of_equals():
    answers = [searched(seed, {B: (0.05, 1), A: (error, 9)}, Found(A)) for seed, error in enumerate((0.3, 0.2, 0.2))]
    (best,) = common_front(answers, ("error",))
    assert (best.seed, best.decoupling) == (1, A)
