"""Every strategy that only asks for scores, on tables instead of training. Those that train have files of their own."""

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import optuna
import pytest
import torch

from methods.training.settings import TrainingSettings
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.evaluations import Evaluations, when_told
from nas.objectives import measured
from nas.problem import Problem, Score, silent
from nas.records.results import Results
from nas.strategies import STRATEGIES, optuna_search
from nas.strategies.optuna_search import PATIENCE, SamplerName
from nas.testing import StrategyContract
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

TRIALS = 12
HEADS = [f"conv(depth={depth})" for depth in (1, 2, 3, 4)]


def specs(trials):
    """Each entry of the table with each sampler that it has and this budget where it takes one."""
    for name in STRATEGIES:
        settings = STRATEGIES.parameters(name)
        budget = [f"trials={trials}"] if "trials" in settings else []
        named = get_args(settings["sampler"].annotation) if "sampler" in settings else ()
        samplers = [[f"sampler={sampler}"] for sampler in named] or [[]]
        for sampler in samplers:
            yield f"{name}({','.join(sampler + budget)})"


def asking(trials):
    """Those that ask for whole trainings alone."""
    return [spec for spec in specs(trials) if not spec.startswith(("sedona", "supernet", "hyperband", "screening"))]


def make_space(heads=HEADS, **constraints):
    return SearchSpace("small(width=0.25)", heads, input_shape=(1, 8, 8), num_classes=10, **constraints)


SPACES = {
    "K fixed": make_space(num_blocks=3),
    "K in a range": make_space(num_blocks=(2, 4)),
    "K in a range with uncut": make_space(HEADS[:2], num_blocks=(1, 3)),
    "K free": make_space(HEADS[:2]),
    "some gaps": make_space(num_blocks=(2, 3), gaps=[1, 3, 5]),
    "large blocks": make_space(num_blocks=3, min_block=2),
    "large blocks, K free": make_space(HEADS[:3], min_block=2),
    "one head": make_space(HEADS[:1], num_blocks=3),
    "fewer points than trials": make_space(HEADS[:1], num_blocks=2),
    "one point": make_space(num_blocks=1),
}


def make_problem(space, seed=0):
    nothing = Split(torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
    images = Images(nothing, nothing, lambda: nothing, 10, (0.0,), (1.0,))
    return Problem(
        space, "dgl", "digits", images, TrainingSettings(), seed, torch.device("cpu"), Results("results"), Path("runs")
    )


def separable_table(space, seed=0):
    """An error for each decoupling: the sum of what its cuts and its heads are worth, and no two alike."""
    rng = random.Random(seed)
    worth = {part: rng.uniform(-1, 1) for part in (*space.gaps, *space.heads)}
    return {
        point: 0.5 + sum(worth[part] for part in (*point.cuts, *point.heads)) / 40 + 1e-9 * number
        for number, point in enumerate(space.enumerate())
    }


class Stop(Exception):
    pass


class Recorded:
    """An `evaluate` that keeps what it found, as the results file does, and fails after so many new trainings.

    The table holds errors; what else a score says follows from the decoupling.
    """

    def __init__(self, table, fail_after=None):
        self.table, self.fail_after = table, fail_after
        self.asked, self.trained = [], []

    def __call__(self, decoupling):
        self.asked.append(decoupling)
        if decoupling not in self.trained:
            if len(self.trained) == self.fail_after:
                raise Stop
            self.trained.append(decoupling)
        return Score(self.table[decoupling], 0.0, peak(decoupling), bound(decoupling))


def peak(decoupling):
    """The longest block of 6 units counts most, then its distance from the input, then the heads' depths."""
    depths = [int(head[len("conv(depth=")]) for head in decoupling.heads]
    return max(1000 * len(block) - 50 * block.start for block in decoupling.blocks(6)) + sum(depths)


def bound(decoupling):
    return 6 / max(map(len, decoupling.blocks(6)))


def find(spec, space, evaluate, seed=0, report=silent, objectives=("error",), at_once=1):
    """All that a strategy found."""
    problem = replace(make_problem(space, seed), objectives=objectives)
    return STRATEGIES.build(spec).search(problem, Evaluations(when_told(evaluate), at_once=at_once), report)


def search(*given, **named):
    """The decoupling that it recommends."""
    return find(*given, **named).decoupling


def rank(table, point):
    """1 for the best point of the table."""
    return 1 + sum(error < table[point] for error in table.values())


# ---- contracts of every entry


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("spec", asking(TRIALS))
def test_stays_in_the_space_and_in_the_budget_and_returns_the_best(spec, name, monkeypatch):
    monkeypatch.setattr(optuna_search, "PATIENCE", 3)  # a suggestion of gp takes a while, also one that comes again
    space = SPACES[name]
    evaluate, heard = Recorded(separable_table(space)), []
    found = search(spec, space, evaluate, report=lambda what, done, total, **figures: heard.append((done, total, figures)))
    for point in evaluate.asked:
        space.check(point)
    wanted = space.size if spec.startswith("exhaustive") else min(TRIALS, space.size)
    assert len(evaluate.asked) == len(set(evaluate.asked)) == wanted
    errors = [evaluate.table[point] for point in evaluate.asked]
    assert evaluate.table[found] == min(errors)
    told = [(n, wanted, {"best_error": min(errors[:n])}) for n in range(1, wanted + 1)]
    assert heard == [(0, wanted, {}), *told]


class TestEveryStrategy(StrategyContract):
    @pytest.fixture(params=asking(TRIALS))
    def spec(self, request):
        return request.param


@pytest.mark.parametrize("spec", [spec for spec in asking(TRIALS) if "trials" in spec])
def test_another_seed_asks_other_questions(spec):
    space = SPACES["K fixed"]
    orders = []
    for seed in (0, 1):
        evaluate = Recorded(separable_table(space))
        search(spec, space, evaluate, seed=seed)
        orders.append(evaluate.asked)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("spec", asking(TRIALS))
def test_takes_scores_of_nothing_but_diverged_runs_and_keeps_the_first(spec):
    space, asked = SPACES["large blocks"], []

    def evaluate(point):
        asked.append(point)
        return Score(1.0, float("nan"), 1, 1.0, "diverged: the loss of stage 0 is nan")

    assert search(spec, space, evaluate) == asked[0]


@pytest.mark.parametrize("spec", ["random(trials=0)", "optuna(trials=-1)", "exhaustive(limit=0)"])
def test_a_search_without_a_training_is_refused(spec):
    with pytest.raises(UserError, match="at least one"):
        STRATEGIES.build(spec)


# ---- several objectives


def several(trials):
    return [spec for spec in asking(trials) if "cmaes" not in spec]


OBJECTIVES = ("peak_memory", "error", "pipeline")


def dominated(values, others):
    return any(other != values and all(a <= b for a, b in zip(other, values, strict=True)) for other in others)


@pytest.mark.parametrize("objectives", [("error", "peak_memory"), OBJECTIVES])
@pytest.mark.parametrize("spec", several(TRIALS))
def test_the_front_is_what_nothing_evaluated_dominates_and_the_answer_its_lowest_error(spec, objectives):
    space = SPACES["K in a range"]
    evaluate = Recorded(separable_table(space))
    found = find(spec, space, evaluate, objectives=objectives)
    again = find(spec, space, Recorded(evaluate.table), objectives=objectives)
    values = {point: measured(evaluate(point), objectives) for point in dict.fromkeys(evaluate.asked)}
    assert set(found.front) == {point for point in values if not dominated(values[point], values.values())}
    assert evaluate.table[found.decoupling] == min(evaluate.table[point] for point in values)
    assert found.decoupling in found.front and len(found.front) > 1 and again == found


def test_cmaes_refuses_several_objectives_before_it_trains():
    space = SPACES["K fixed"]
    evaluate = Recorded({})
    with pytest.raises(UserError, match="one objective, got error peak_memory.*nsga2"):
        find("optuna(sampler=cmaes)", space, evaluate, objectives=("error", "peak_memory"))
    assert evaluate.asked == []


def test_optuna_is_told_each_objective(studies):
    space = SPACES["K fixed"]
    evaluate = Recorded(separable_table(space))
    find("optuna(sampler=nsga2,trials=6)", space, evaluate, objectives=OBJECTIVES)
    (study,) = studies
    assert len(study.directions) == 3 and {direction.name for direction in study.directions} == {"MINIMIZE"}
    told = dict.fromkeys(tuple(trial.values) for trial in study.trials)
    assert list(told) == [(peak(point), evaluate.table[point], pytest.approx(1 / bound(point))) for point in evaluate.asked]


def area(values):
    """Of the unit square, the share that a set of points in it dominates, lower being better: the hypervolume."""
    total, lowest = 0.0, 1.0
    for x, y in sorted(values):
        total, lowest = total + (1 - x) * max(0.0, lowest - y), min(lowest, y)
    return total


@pytest.mark.parametrize(("sampler", "trials", "seeds"), [("tpe", 40, 6), ("nsga2", 60, 8), ("gp", 16, 2)])
def test_samplers_dominate_more_than_chance_does(sampler, trials, seeds):
    """Than random search with the same number of trainings, on average over tables."""
    space = SPACES["K in a range"]
    areas = {sampler: [], "random": []}
    for seed in range(seeds):
        table = separable_table(space, seed)
        values = np.array([(error, peak(point)) for point, error in table.items()])
        scaled = dict(zip(table, (values - values.min(0)) / np.ptp(values, 0), strict=True))
        for name in areas:
            evaluate = Recorded(table)
            find(f"optuna(sampler={name},trials={trials})", space, evaluate, seed, objectives=("error", "peak_memory"))
            areas[name].append(area(tuple(scaled[point]) for point in evaluate.asked))
    assert np.mean(areas[sampler]) > np.mean(areas["random"]) + 0.02


# ---- better than chance


@pytest.mark.parametrize(
    ("sampler", "trials", "seeds", "share"),
    [("tpe", 40, 10, 0.5), ("gp", 15, 4, 0.5), ("nsga2", 40, 10, 0.5), ("cmaes", 40, 10, 0.75)],
)
def test_samplers_beat_chance(sampler, trials, seeds, share):
    """The best of n points drawn without replacement from N has rank (N + 1) / (n + 1) on average.

    A free K is 5 gaps of 5 unordered choices; cmaes, which orders them, is only held to the ordered positions of K = 3.
    """
    space = SPACES["K fixed"] if sampler == "cmaes" else make_space()
    ranks = []
    for seed in range(seeds):
        table = separable_table(space, seed)
        ranks.append(rank(table, search(f"optuna(sampler={sampler},trials={trials})", space, Recorded(table), seed)))
    assert np.mean(ranks) < share * (space.size + 1) / (trials + 1)


def test_random_search_draws_uniformly_without_replacement():
    space, seeds = SPACES["K in a range"], 400
    table = separable_table(space)
    ranks, first = [], []
    for seed in range(seeds):
        evaluate = Recorded(table)
        ranks.append(rank(table, search("random(trials=9)", space, evaluate, seed)))
        first.append(rank(table, evaluate.asked[0]))
    expected, deviation = (space.size + 1) / 10, np.std(ranks) / seeds**0.5
    assert abs(np.mean(ranks) - expected) < 4 * deviation
    assert abs(np.mean(first) - (space.size + 1) / 2) < 4 * space.size / 12**0.5 / seeds**0.5


# ---- exhaustive search


@pytest.mark.parametrize("name", SPACES)
def test_exhaustive_search_evaluates_every_point_once(name):
    space = SPACES[name]
    evaluate = Recorded(separable_table(space))
    found = search(f"exhaustive(limit={space.size})", space, evaluate)
    assert len(evaluate.asked) == space.size and set(evaluate.asked) == set(space.enumerate())
    assert rank(evaluate.table, found) == 1


def test_exhaustive_search_refuses_above_its_limit_before_it_trains():
    space = SPACES["K fixed"]
    evaluate = Recorded({})
    with pytest.raises(UserError, match="160 decouplings.*limit=159.*num_blocks"):
        search("exhaustive(limit=159)", space, evaluate)
    assert evaluate.asked == []


# ---- optuna


@pytest.fixture
def studies(monkeypatch):
    """The studies that are made, in order."""
    made, create = [], optuna.create_study

    def recording(*arguments, **settings):
        made.append(create(*arguments, **settings))
        return made[-1]

    monkeypatch.setattr(optuna, "create_study", recording)
    return made


@pytest.mark.parametrize("sampler", get_args(SamplerName))
@pytest.mark.parametrize("name", ["K fixed", "K in a range", "one head"])
def test_a_bounded_number_of_blocks_is_encoded_as_positions(sampler, name, studies):
    space = SPACES[name]
    search(f"optuna(sampler={sampler},trials=5)", space, Recorded(separable_table(space)))
    (study,) = studies
    most = space.block_counts[-1] - 1
    positions, heads = {f"cut_{i}" for i in range(most)}, {f"head_{i}" for i in range(most)}
    expected = positions | (heads if len(space.heads) > 1 else set()) | ({"num_blocks"} if name == "K in a range" else set())
    for trial in study.trials:
        assert set(trial.params) == expected
        for parameter in positions:
            distribution = trial.distributions[parameter]
            assert (distribution.low, distribution.high) == (0, len(space.gaps) - 1)
        for distribution in trial.distributions.values():
            choices = getattr(distribution, "choices", ())
            assert not any(isinstance(choice, bool) for choice in choices)
            assert not (choices and sampler == "cmaes")  # it would draw categories at random


@pytest.mark.parametrize(
    ("sampler", "constraints"),
    [
        *((sampler, {"num_blocks": 2}) for sampler in get_args(SamplerName)),
        ("tpe", {"min_block": 2}),
        ("cmaes", {"min_block": 2}),
    ],
)
def test_optuna_is_told_the_error_of_each_point_also_of_one_that_comes_again(sampler, constraints, studies):
    """Replays are told too and cost nothing; once nothing new comes, an unseen point is put in the queue."""
    space = make_space(HEADS[:2], **constraints)
    evaluate = Recorded(separable_table(space))
    search(f"optuna(sampler={sampler},trials={space.size})", space, evaluate)
    assert set(evaluate.asked) == set(space.enumerate())
    (study,) = studies
    assert len(study.trials) > space.size
    told = [trial.value for trial in study.trials]
    assert set(told) == set(evaluate.table.values())
    new = [n for n, value in enumerate(told) if value not in told[:n]]
    assert [told[n] for n in new] == [evaluate.table[point] for point in evaluate.asked]
    assert max(later - earlier for earlier, later in pairwise(new)) <= PATIENCE + 1  # and the queued point


@pytest.mark.parametrize("population", [-1, 0, 1])
def test_a_population_that_cannot_evolve_is_refused(population):
    with pytest.raises(UserError, match="population"):
        STRATEGIES.build(f"optuna(sampler=nsga2,population={population})")


def test_optuna_stays_quiet(capfd, recwarn):
    space = SPACES["fewer points than trials"]  # a single dimension: cmaes warns of it
    for sampler in get_args(SamplerName):
        search(f"optuna(sampler={sampler},trials=3)", space, Recorded(separable_table(space)))
    space = SPACES["K fixed"]
    for spec in several(TRIALS):  # enough trials for each sampler to begin with its own
        search(spec, space, Recorded(separable_table(space)), objectives=OBJECTIVES)
    captured = capfd.readouterr()
    assert captured.out == captured.err == "" and not [str(warning.message) for warning in recwarn]


@pytest.mark.parametrize("spec", ["random(trials=12)", "exhaustive"])
def test_what_learns_nothing_from_scores_asks_the_same_however_many_are_in_flight(spec):
    asked, space = [], next(iter(SPACES.values()))
    for at_once in (1, 2, 4):
        recorded = Recorded(separable_table(space))
        asked.append((find(spec, space, recorded, at_once=at_once), recorded.asked))
    assert asked[0] == asked[1] == asked[2] and len(asked[0][1]) > 4
