"""Hyperband on tables: against one written down plainly, within its budget, on spaces of any size."""

import random
from dataclasses import replace
from itertools import cycle

import pytest

from methods.training.settings import TrainingSettings
from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.random_search import drawn
from nas.testing import StrategyContract
from spaces.notation.errors import UserError
from tests.nas.strategies.test_strategies import SPACES, make_problem

ITERATIONS = 81
ETA = 3


class Curves:
    """An `evaluate` that keeps what it was asked: errors fall at a pace of their own, and cross."""

    def __init__(self, space, failing=()):
        rng, self.failing, self.asked = random.Random(1), failing, []
        self.ends = {point: (rng.choice([0.2, 0.3, 0.4, 0.5]), rng.uniform(0, 0.5)) for point in space.enumerate()}

    def error(self, point, fidelity):
        end, pace = self.ends[point]
        return end + pace * (1 - fidelity) ** 2

    def __call__(self, point, fidelity=1.0):
        self.asked.append((point, fidelity))
        if point in self.failing:
            return Score(1.0, float("nan"), 1, 1.0, "diverged: the loss of stage 0 is nan")
        return Score(self.error(point, fidelity), 0.0, 1, 1.0)

    @property
    def iterations(self):
        """What all that was asked costs, where a longer training goes on from a shorter one."""
        furthest = {}
        for point, fidelity in self.asked:
            furthest[point] = max(furthest.get(point, 0), round(fidelity * ITERATIONS))
        return sum(furthest.values())

    @property
    def iterations_anew(self):
        """The same, where every training begins anew."""
        return sum(round(fidelity * ITERATIONS) for _, fidelity in self.asked)


def problem_of(space, seed=0):
    return replace(make_problem(space, seed), settings=TrainingSettings(iterations=ITERATIONS))


def find(spec, space, evaluate, *, seed=0, at_once=1):
    evaluations = Evaluations(when_told(evaluate), at_once=at_once)
    return STRATEGIES.build(spec).search(problem_of(space, seed), evaluations, silent).decoupling


def plainly(space, curves, rounds):
    """The paper's algorithm 1, in iterations, for the brackets with these (n, r), r of 81: what it asks for, and its answer."""
    sampled, asked, whole = drawn(problem_of(space)), [], {}
    for n, r in rounds:
        rung = [next(sampled) for _ in range(n)]
        while True:
            asked += [(point, r / ITERATIONS) for point in rung]
            errors = [curves.error(point, r / ITERATIONS) for point in rung]
            if r == ITERATIONS:
                whole |= dict(zip(rung, errors, strict=True))
                break
            order = sorted(range(len(rung)), key=lambda i: (errors[i], i))
            rung, r = [rung[i] for i in order[: len(rung) // ETA]], r * ETA
    return asked, min(whole, key=lambda point: whole[point])


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [
        ("min_fidelity=0.037,trials=100", [(27, 3), (12, 9), (6, 27), (4, 81)]),
        ("min_fidelity=0.2,trials=100", [(3, 27), (2, 81)]),
        ("min_fidelity=0.037,brackets=1,trials=100", [(27, 3)]),
    ],
)
def test_it_asks_what_the_paper_s_algorithm_asks(settings, rounds):
    """Up to the end of the first round of brackets; the budget is enough for more."""
    space = SPACES["K in a range"]
    evaluate = Curves(space)
    find(f"hyperband({settings})", space, evaluate)
    asked, _ = plainly(space, evaluate, rounds)
    found = evaluate.asked[: len(asked)]
    assert [(point, round(ITERATIONS * f)) for point, f in found] == [(point, round(ITERATIONS * f)) for point, f in asked]


def test_its_answer_is_the_best_of_what_it_trained_wholly():
    space = SPACES["K in a range"]
    evaluate = Curves(space)
    found = find("hyperband(trials=14)", space, evaluate)
    whole = [point for point, fidelity in evaluate.asked if fidelity == 1]
    assert found == min(whole, key=lambda point: evaluate.error(point, 1))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("settings", ["trials=1", "trials=7", "trials=25,eta=2", "trials=12,brackets=1"])
@pytest.mark.parametrize("schedules", ["", ",schedules=own"])
def test_the_budget_is_kept_and_nothing_is_asked_for_twice(space, settings, schedules):
    evaluate = Curves(SPACES[space])
    find(f"hyperband({settings}{schedules})", SPACES[space], evaluate)
    trials, spent = (
        int(settings.partition("=")[2].partition(",")[0]),
        evaluate.iterations_anew if schedules else evaluate.iterations,
    )
    assert spent <= trials * ITERATIONS
    assert len(evaluate.asked) == len(set(evaluate.asked))
    if trials < SPACES[space].size:  # no more than what is too little for one more is left
        assert spent > (trials - 1) * ITERATIONS


def test_own_schedules_change_costs_and_not_who_goes_on():
    """Of the first bracket, which both have the budget for."""
    space = SPACES["K in a range"]
    continued, anew = Curves(space), Curves(space)
    find("hyperband(trials=20,brackets=1)", space, continued)
    find("hyperband(trials=20,brackets=1,schedules=own)", space, anew)
    first = 27 + 9 + 3 + 1
    assert anew.asked[:first] == continued.asked[:first]


def test_a_space_that_is_smaller_than_a_rung_is_trained_wholly_and_then_it_ends():
    space = SPACES["fewer points than trials"]
    evaluate = Curves(space)
    find("hyperband(trials=100)", space, evaluate)
    assert {point for point, fidelity in evaluate.asked if fidelity == 1} == set(space.enumerate())


@pytest.mark.parametrize("at_once", [2, 5])
def test_how_many_are_in_flight_changes_nothing(at_once):
    space = SPACES["K in a range"]
    one, several = Curves(space), Curves(space)
    assert find("hyperband(trials=9)", space, one) == find("hyperband(trials=9)", space, several, at_once=at_once)
    assert one.asked == several.asked


def test_what_diverged_does_not_go_on():
    space = SPACES["K in a range"]
    first = [point for _, point in zip(range(27), drawn(problem_of(space)), strict=False)]
    evaluate = Curves(space, failing=first[:26])
    assert find("hyperband(trials=4,brackets=1)", space, evaluate) == first[26]
    assert [point for point, fidelity in evaluate.asked[27:30]] == [first[26]] * 3


def test_tpe_samples_where_it_was_good():
    space = SPACES["K free"]
    found = {sampler: [] for sampler in ("random", "tpe")}
    for sampler, seed in zip(cycle(found), [seed for seed in range(4) for _ in found], strict=False):
        evaluate = Curves(space)
        evaluate.ends = {point: (0.1 * point.num_blocks, 0.1) for point in evaluate.ends}
        find(f"hyperband(trials=12,sampler={sampler})", space, evaluate, seed=seed)
        later = [point.num_blocks for point, _ in evaluate.asked[40:]]
        found[sampler].append(sum(later) / len(later))
    assert sum(found["tpe"]) < sum(found["random"])


def test_several_objectives_are_refused():
    problem = replace(problem_of(SPACES["K fixed"]), objectives=("error", "peak_memory"))
    with pytest.raises(UserError, match="error alone, got error peak_memory"):
        STRATEGIES.build("hyperband").search(problem, Evaluations(when_told(Curves(problem.space))), silent)


@pytest.mark.parametrize(
    "wrong", ["eta=1", "min_fidelity=0.0", "min_fidelity=2.0", "brackets=0", "trials=0", "min_fidelity=0.34,schedules=own"]
)
def test_settings_that_make_no_brackets_are_refused(wrong):
    with pytest.raises(UserError, match="got"):
        STRATEGIES.build(f"hyperband({wrong})")


class TestHyperband(StrategyContract):
    @pytest.fixture(params=["hyperband(trials=6)", "hyperband(trials=12,sampler=tpe)", "hyperband(trials=6,schedules=own)"])
    def spec(self, request):
        return request.param
