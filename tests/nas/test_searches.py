"""A search that remembers what it was told, and the front of several."""

from types import SimpleNamespace

import pytest

from nas.evaluations import when_told
from nas.problem import Found, Score, silent
from nas.searches import Evaluated, common_front, search_once
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.25,heads=[linear],num_blocks=[1,6])", (1, 4, 4), 3)
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
    return search_once(
        Asks(scores, found), SimpleNamespace(seed=seed, space=SPACE, named=str), when_told(scores.__getitem__), silent
    )


def test_it_holds_what_was_asked_for_in_order():
    result = searched(7, {C: (0.3, 1), A: (0.2, 2)}, Found(A, notes=("sure",)))
    assert (result.seed, list(result.scores), result.score.error, result.found.notes) == (7, [C, A], 0.2, ("sure",))
    assert result.evaluated == [Evaluated(7, point, result.scores[point]) for point in (C, A)]


@pytest.mark.parametrize(
    ("asked", "found", "said"),
    [
        ([A], Found(B), "evaluates what it recommends, but Asks answers with '3:linear'"),
        ([A], Found(A, (A, B)), "evaluates what it recommends, but Asks answers with '3:linear'"),
        ([A], Found(Decoupling((9,), ("linear",))), "Asks answers with '9:linear', which is outside its space: "),
        ([A], Found(A, (A, Decoupling((1,), ("mlp",)))), "Asks answers with '1:mlp', which is outside its space: .*heads"),
        ([Decoupling((9,), ("linear",))], Found(A), "Asks asks for '9:linear', which is outside its space: .*9"),
        ([A], Found(Decoupling([1], ["linear"])), "Asks answers with '1:linear', .*: cuts and heads are tuples"),
        ([Decoupling((1.0,), ("linear",))], Found(A), "Asks asks for '1.0:linear', .*: a decoupling is written"),
        ([Decoupling((1,), (" linear",))], Found(A), "Asks asks for '1: linear', .*: a decoupling is written"),
        (["3:linear"], Found(A), "Asks asks for a str; Decoupling.parse reads a text"),
        ([A], Found("1:linear"), "Asks answers with a str; Decoupling.parse reads a text"),
        ([A], A, "answers with a nas.problem.Found, but Asks answered with a Decoupling"),
        ([A], None, "answers with a nas.problem.Found, but Asks answered with a NoneType"),
    ],
)
def test_a_strategy_stays_in_its_space_and_evaluates_what_it_recommends(asked, found, said):
    with pytest.raises(UserError, match=said):
        searched(0, dict.fromkeys(asked, (0.2, 2)), found)


def test_a_front_of_none_is_an_empty_one():
    assert searched(0, {A: (0.2, 2)}, Found(A, None)).found.decoupling == A


def test_what_is_outside_the_space_is_never_evaluated():
    evaluated = []
    outside = Asks([Decoupling((1, 2), ("linear", "linear"))], Found(A))
    space = read_space("small(width=0.25,heads=[linear],num_blocks=2)", (1, 4, 4), 3)
    with pytest.raises(UserError, match="has 2 blocks"):
        search_once(outside, SimpleNamespace(seed=0, space=space), when_told(evaluated.append), silent)
    assert evaluated == []


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
