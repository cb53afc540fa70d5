"""The brackets of Hyperband against those that the paper prints."""

import pytest

from nas.strategies.hyperband.brackets import Bracket, brackets, fitting, promoted

TABLE_1 = {  # Li et al. 2018, R = 81 and eta = 3: (n_i, r_i) of each bracket
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(34, 3), (11, 9), (3, 27), (1, 81)],
    2: [(15, 9), (5, 27), (1, 81)],
    1: [(8, 27), (2, 81)],
    0: [(5, 81)],
}


def of_81(fidelity):
    return round(81 * fidelity)


def continuing(bracket):
    return bracket.cost(of_81)


def anew(bracket):
    return bracket.cost(of_81, own_schedules=True)


def test_they_are_those_of_the_paper():
    found = {one.s: list(zip(one.sizes, map(of_81, one.fidelities), strict=True)) for one in brackets(3, 1 / 81, 81)}
    assert found == TABLE_1 and list(found) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("min_fidelity", "iterations", "s"), [(0.037, 81, 3), (0.04, 81, 2), (1 / 9, 5, 1), (1 / 9, 2, 0), (1, 81, 0)]
)
def test_the_first_rung_has_the_smallest_fidelity_or_more_and_an_iteration_at_least(min_fidelity, iterations, s):
    first = brackets(3, min_fidelity, iterations)[0]
    assert first.s == s and first.fidelities[0] >= min_fidelity and first.fidelities[0] * iterations >= 1


def test_what_goes_on_continues_its_checkpoint():
    assert Bracket(2, 9, 3).cost(of_81) == 9 * 9 + 3 * 18 + 1 * 54


def test_what_has_a_schedule_of_its_own_begins_anew():
    assert Bracket(2, 9, 3).cost(of_81, own_schedules=True) == 9 * 9 + 3 * 27 + 1 * 81


@pytest.mark.parametrize("iterations", [81, 100, 188, 189, 500])
def test_a_bracket_that_fits_is_the_largest_that_does(iterations):
    found = fitting(Bracket(2, 9, 3), iterations, continuing)
    assert found.cost(of_81) <= iterations
    assert found.size == 9 or Bracket(2, found.size + 1, 3).cost(of_81) > iterations


@pytest.mark.parametrize("cost", [continuing, anew])
def test_less_than_one_whole_training_is_enough_for_none(cost):
    assert fitting(Bracket(2, 9, 3), 80, cost) is None


@pytest.mark.parametrize(("iterations", "found"), [(81, Bracket(0, 1, 3)), (116, Bracket(0, 1, 3)), (117, Bracket(2, 1, 3))])
def test_what_is_too_little_for_all_rungs_anew_is_one_whole_training(iterations, found):
    assert fitting(Bracket(2, 9, 3), iterations, anew) == found


@pytest.mark.parametrize(
    ("ranked", "places", "goes_on"),
    [
        ([(False, 0.3), (False, 0.1), (False, 0.2)], 2, [1, 2]),
        ([(False, 0.2), (False, 0.1), (False, 0.1), (False, 0.1)], 2, [1, 2]),  # the earlier of equals
        ([(True, 1.0), (False, 1.0), (True, 1.0)], 2, [1]),
        ([(True, 1.0), (True, 1.0), (True, 1.0)], 2, [0]),
    ],
)
def test_the_best_go_on_and_failures_only_where_there_is_nothing_else(ranked, places, goes_on):
    assert promoted(ranked, places) == goes_on
