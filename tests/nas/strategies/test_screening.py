"""Screening on tables: it asks for every candidate shortly, for the best of them wholly, and for nothing else."""

from dataclasses import replace

import pytest

from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.first import first_decouplings
from nas.testing import StrategyContract
from spaces.notation.errors import UserError
from tests.nas.strategies.test_strategies import SPACES, make_problem

SPACE = SPACES["K in a range"]
POINTS = list(SPACE.enumerate())
SHORT = {
    point: (7 * n) % len(POINTS) / len(POINTS) for n, point in enumerate(POINTS)
}  # errors, all different where 7 is no divisor
WHOLE = {point: (5 * n) % len(POINTS) / len(POINTS) for n, point in enumerate(POINTS)}


def asked_by(spec, *, failing=(), at_once=1):
    """What it asks for, and its answer."""
    asked = []

    def evaluate(point, fidelity=1.0):
        asked.append((point, fidelity))
        if point in failing:
            return Score(0.0, float("nan"), 1, 1.0, "killed: out of memory")
        return Score((WHOLE if fidelity == 1 else SHORT)[point], 0.0, 1, 1.0)

    evaluations = Evaluations(when_told(evaluate), at_once=at_once)
    return asked, STRATEGIES.build(spec).search(make_problem(SPACE, 0), evaluations, silent).decoupling


@pytest.mark.parametrize("at_once", [1, 4])
def test_the_best_of_all_candidates_are_trained_wholly(at_once):
    asked, found = asked_by(f"screening(trials=4,fidelity=0.2,candidates={len(POINTS) + 10})", at_once=at_once)
    assert {point for point, _ in asked[: len(POINTS)]} == set(POINTS) and {share for _, share in asked[: len(POINTS)]} == {0.2}
    best = sorted(POINTS, key=SHORT.__getitem__)[:4]
    assert asked[len(POINTS) :] == [(point, 1.0) for point in best] and found == min(best, key=WHOLE.__getitem__)


def test_of_a_large_space_so_many_are_drawn_and_those_by_rule_come_first():
    asked, _ = asked_by("screening(trials=1,candidates=9,first=[even])")
    first = first_decouplings(["even"], make_problem(SPACE, 0), 9)
    assert [point for point, _ in asked[: len(first)]] == first and len({point for point, _ in asked[:9]}) == 9
    assert asked[9:] == [(min((point for point, _ in asked[:9]), key=SHORT.__getitem__), 1.0)]


def test_what_failed_comes_last():
    best = sorted(POINTS, key=SHORT.__getitem__)
    asked, _ = asked_by(f"screening(trials=1,candidates={len(POINTS)})", failing=best[:3])
    assert asked[-1] == (best[3], 1.0)


def test_trainings_are_what_it_costs():
    assert STRATEGIES.build("screening(trials=3,fidelity=0.25,candidates=10)").trainings(make_problem(SPACE, 0)) == 6


@pytest.mark.parametrize("wrong", ["fidelity=0.0", "fidelity=1.0", "trials=0", "trials=5,candidates=4"])
def test_settings_that_are_none_are_refused(wrong):
    with pytest.raises(UserError, match="got"):
        STRATEGIES.build(f"screening({wrong})")


def test_several_objectives_are_refused():
    problem = replace(make_problem(SPACE, 0), objectives=("error", "peak_memory"))
    with pytest.raises(UserError, match="error alone, got error peak_memory"):
        STRATEGIES.build("screening").search(problem, Evaluations(when_told(lambda point: None)), silent)


class TestScreening(StrategyContract):
    strategy = "screening(trials=2,candidates=6)"
