"""Screening on tables: it asks for every candidate shortly, for the best of them wholly, and for nothing else."""

from dataclasses import replace

import pytest

from methods.training.settings import TrainingSettings
from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.first import first_decouplings
from nas.testing import StrategyContract
from spaces.notation.errors import UserError
from tests.nas.strategies.test_strategies import SPACES, make_problem

SPACE = SPACES["K in a range"]
POINTS = list(SPACE.enumerate())
SHORT = {point: (7 * n) % len(POINTS) / len(POINTS) for n, point in enumerate(POINTS)}  # all different where 7 is no divisor
WHOLE = {point: (5 * n) % len(POINTS) / len(POINTS) for n, point in enumerate(POINTS)}


def asked_by(spec, *, failing=(), at_once=1, space=SPACE, report=silent):
    """What it asks for, and its answer."""
    asked = []

    def evaluate(point, fidelity=1.0):
        asked.append((point, fidelity))
        if point in failing:
            return Score(0.0, float("nan"), 1, 1.0, "killed: out of memory")
        return Score((WHOLE if fidelity == 1 else SHORT)[point], 0.0, 1, 1.0)

    evaluations = Evaluations(when_told(evaluate), at_once=at_once)
    return asked, STRATEGIES.build(spec).search(make_problem(space, 0), evaluations, report).decoupling


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


def test_every_training_is_told_of_from_the_first_short_one_on():
    told = []
    asked_by("screening(trials=2,candidates=9)", report=lambda what, done, total, **figures: told.append((what, done, total)))
    assert told == [("trials", done, 11) for done in range(12)]


def test_a_space_of_no_more_than_the_trials_is_trained_wholly_at_once():
    space = SPACES["fewer points than trials"]
    points = list(space.enumerate())
    spec = f"screening(trials={len(points)})"
    asked = []
    evaluations = Evaluations(
        when_told(lambda point, fidelity=1.0: (asked.append((point, fidelity)), Score(0.5, 0.0, 1, 1.0))[1])
    )
    STRATEGIES.build(spec).search(make_problem(space, 0), evaluations, silent)
    assert sorted(asked, key=str) == sorted(((point, 1.0) for point in points), key=str)
    assert STRATEGIES.build(spec).trainings(make_problem(space, 0)) == len(points)


def of_iterations(iterations):
    return replace(make_problem(SPACE, 0), settings=TrainingSettings(iterations=iterations))


@pytest.mark.parametrize(
    ("spec", "iterations", "trainings"),
    [
        ("screening(trials=3,fidelity=0.25,candidates=10)", 1000, 3 + 10 * 0.25),
        ("screening(trials=3,fidelity=0.1,candidates=10)", 4, 3 + 10 / 4),  # an iteration at least
        ("screening(trials=3,fidelity=0.25,candidates=100000)", 1000, 3 + 0.25 * len(POINTS)),
    ],
)
def test_trainings_are_what_it_costs(spec, iterations, trainings):
    assert STRATEGIES.build(spec).trainings(of_iterations(iterations)) == trainings


def test_a_share_that_rounds_to_all_iterations_is_refused():
    with pytest.raises(UserError, match=r"got fidelity=0.9 of 4; give a smaller"):
        STRATEGIES.build("screening(fidelity=0.9)").search(of_iterations(4), Evaluations(when_told(lambda point: None)), silent)


def test_more_first_decouplings_than_candidates_are_refused_by_the_setting_s_name():
    with pytest.raises(UserError, match="got 3 decouplings for candidates=2; give fewer, or more candidates"):
        asked_by("screening(trials=1,candidates=2,first=[even])")


@pytest.mark.parametrize("wrong", ["fidelity=0.0", "fidelity=1.0", "trials=0", "trials=5,candidates=4", "trials=5,candidates=5"])
def test_settings_that_are_none_are_refused(wrong):
    with pytest.raises(UserError, match="got"):
        STRATEGIES.build(f"screening({wrong})")


def test_several_objectives_are_refused():
    problem = replace(make_problem(SPACE, 0), objectives=("error", "peak_memory"))
    with pytest.raises(UserError, match="error alone, got error peak_memory"):
        STRATEGIES.build("screening").search(problem, Evaluations(when_told(lambda point: None)), silent)


class TestScreening(StrategyContract):
    strategy = "screening(trials=2,candidates=6)"
