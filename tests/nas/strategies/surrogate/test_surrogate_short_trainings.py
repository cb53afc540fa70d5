"""Short trainings before the first whole one: who is trained, what they tell, and what they cost."""

import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from methods.training.settings import TrainingSettings
from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.surrogate.beliefs import Beliefs, prior_of_scores
from nas.strategies.surrogate.candidates import neighbours
from nas.strategies.surrogate.features import Features
from nas.strategies.surrogate.prior import joined
from nas.testing import StrategyContract
from spaces.notation.errors import UserError
from spaces.space import SearchSpace
from tests.nas.strategies.surrogate.test_surrogate import HEADS, SPACE, function_of_features, make_problem, written

POINTS = list(SPACE.enumerate())


def asked_by(spec, whole, shortly, *, report=silent, at_once=1, **problem):
    """What it asks for with its fidelity, in order."""
    asked = []

    def evaluate(point, fidelity=1.0):
        asked.append((point, fidelity))
        return Score((whole if fidelity == 1 else shortly)[point], 0.0, 1, 1.0)

    STRATEGIES.build(spec).search(make_problem(**problem), Evaluations(when_told(evaluate), at_once=at_once), report)
    return asked


def scores_of(points, table):
    return {point: Score(table[point], 0.0, 1, 1.0) for point in points}


def prior_of(scores):
    return prior_of_scores(scores, Features(SPACE))


def noisy(table, deviation):
    """A short training tells the same with noise."""
    rng = np.random.default_rng(0)
    return {point: error + deviation * rng.normal() for point, error in table.items()}


def test_candidates_are_trained_shortly_once_each_and_the_first_whole_training_is_what_is_believed_lowest():
    table = function_of_features(SPACE, 1)
    shortly = noisy(table, 0.05)
    asked = asked_by("surrogate(trials=3,fidelity=0.2,candidates=40)", table, shortly)
    before, wholly = asked[:40], asked[40:]
    assert len({point for point, _ in before}) == 40 and {share for _, share in before} == {0.2}
    assert [share for _, share in wholly] == [1.0] * 3 and len(set(wholly)) == 3
    believed = Beliefs(make_problem(), 2000, shortly=scores_of([point for point, _ in before], shortly)).believed({})
    assert wholly[0][0] == min(believed, key=believed.__getitem__)


def test_the_second_whole_training_follows_the_short_ones_too():
    """One score of the best of a ranking is low by choice; it does not say that the ranking is wrong."""
    places = []
    for seed in range(4):
        table = function_of_features(SPACE, seed)
        ordered = sorted(table, key=table.__getitem__)
        shortly = noisy(table, 0.3 * float(np.std(list(table.values()))))
        asked = asked_by("surrogate(trials=2,fidelity=0.1,candidates=40)", table, shortly, seed=seed)
        places.append(ordered.index(asked[-1][0]) / len(POINTS))
    assert np.mean(places) < 0.2  # 0.5 without them


def test_the_first_whole_training_is_the_lowest_of_the_ranking_and_not_what_is_least_known():
    table = function_of_features(SPACE, 3)
    points = [point for point in POINTS if point.num_blocks == 2]
    asked = asked_by(f"surrogate(trials=1,fidelity=0.1,candidates=40,pool={len(POINTS)})", table, table)
    beliefs = Beliefs(make_problem(), 2000, shortly=scores_of(points, table))
    believed = beliefs.believed({})
    assert beliefs.most_promising({}, ()) == min(believed, key=believed.__getitem__)
    assert table[asked[-1][0]] <= sorted(table.values())[len(POINTS) // 20]


def test_several_in_flight_are_different_and_no_other_short_trainings():
    table = function_of_features(SPACE, 1)
    one, four = (asked_by("surrogate(trials=6,fidelity=0.2,candidates=30)", table, table, at_once=n) for n in (1, 4))
    assert one[:30] == four[:30] and {share for _, share in four[30:]} == {1.0}
    assert len({point for point, _ in four[30:]}) == 6 and one[30] == four[30]
    ordered = sorted(table, key=table.__getitem__)
    assert np.mean([ordered.index(point) / len(POINTS) for point, _ in four[30:]]) < 0.2


def test_what_is_believed_is_nearer_to_the_truth_than_the_noisy_short_trainings_are():
    """Since a function of the features smooths their noise: of the rank that noise takes away most comes back."""
    lost = {"believed": [], "measured": []}
    for seed in range(6):
        table = function_of_features(SPACE, seed)
        points = random.Random(seed).sample(POINTS, 60)
        shortly = noisy(table, float(np.std(list(table.values()))))
        believed = STRATEGIES.build("surrogate(fidelity=0.1)").believed(make_problem(), {}, scores_of(points, shortly))
        for name, values in (("believed", believed), ("measured", shortly)):
            rho = spearmanr([values[point] for point in points], [table[point] for point in points]).statistic
            lost[name].append(1 - rho)
    assert np.mean(lost["believed"]) < 0.6 * np.mean(lost["measured"])


def test_short_trainings_that_mislead_are_left_behind():
    """Where they say the opposite, whole trainings show that, and better ones are found than those that they name."""
    table = function_of_features(SPACE, 2)
    ordered = sorted(table, key=table.__getitem__)
    opposite = {point: 1 - error for point, error in table.items()}
    asked = asked_by("surrogate(trials=25,fidelity=0.1,candidates=40)", table, opposite)
    places = [ordered.index(point) / len(POINTS) for point, share in asked if share == 1]
    assert places[0] > 0.9 and min(places) < 0.05


def test_of_a_large_space_so_many_are_drawn_and_those_by_rule_come_first_shortly_and_wholly():
    table = function_of_features(SPACE, 1)
    asked = asked_by("surrogate(trials=4,fidelity=0.2,candidates=7,first=['even(3)'])", table, table)
    (first, *shortly), wholly = [point for point, share in asked if share < 1], [point for point, share in asked if share == 1]
    assert first == wholly[0] and str(first).startswith("2:") and len({first, *shortly}) == 7 and len(set(wholly)) == 4


def test_every_training_is_told_of_from_the_first_short_one_on():
    told, table = [], function_of_features(SPACE, 1)

    def report(what, done, total, **figures):
        told.append((what, done, total))

    asked_by("surrogate(trials=2,fidelity=0.2,candidates=6)", table, table, report=report)
    assert list(dict.fromkeys(told)) == [("trials", done, 8) for done in range(9)]


def test_of_a_space_beyond_the_pool_neighbours_of_the_best_short_training_may_be_trained():
    table = function_of_features(SPACE, 1)
    points = random.Random(0).sample(POINTS, 12)
    beliefs = Beliefs(make_problem(), 5, shortly=scores_of(points, table))
    best = min(points, key=table.__getitem__)
    near = beliefs.candidates.unseen((), beliefs._best_before)
    assert set(near) >= {*points, *neighbours(SPACE, best)} and len(beliefs.candidates.points) <= 5 + 12


def test_what_failed_shortly_counts_as_the_worst_of_the_others():
    scores = {point: Score(0.1 + 0.01 * n, 0.0, 1, 1.0) for n, point in enumerate(POINTS[:5])}
    failed = Score(float("nan"), 0.0, 1, 1.0, "diverged: the loss of stage 0 is nan")
    prior = prior_of({**scores, POINTS[5]: failed, POINTS[6]: Score(float("nan"), 0.0, 1, 1.0)})
    assert (prior.values[5:] == prior.values[:5].max()).all() and np.isfinite(prior.values).all()


@pytest.mark.parametrize("failed", [True, False])
def test_where_short_trainings_tell_nothing_the_seed_chooses(failed):
    status = "diverged: the loss of stage 0 is nan" if failed else "ok"
    asked = {}

    for seed in range(4):

        def evaluate(point, fidelity=1.0, seed=seed):
            asked.setdefault(seed, []).append((point, fidelity))
            return Score(float("nan") if failed else 0.5, 0.0, 1, 1.0, status)

        strategy = STRATEGIES.build("surrogate(trials=1,fidelity=0.5,candidates=4)")
        strategy.search(make_problem(seed), Evaluations(when_told(evaluate)), silent)
    assert len({each[-1] for each in asked.values()}) > 1


def test_sources_of_two_priors_stay_apart():
    one = prior_of({point: Score(0.1 + 0.01 * n, 0.0, 1, 1.0) for n, point in enumerate(POINTS[:5])})
    both = joined([one, one._replace(sources=one.sources + 1), one])
    assert both.sources.tolist() == [1] * 5 + [3] * 5 + [4] * 5
    assert np.array_equal(both.features[10:], one.features) and np.array_equal(both.values[5:10], one.values)


def test_another_file_counts_beside_short_trainings(tmp_path):
    """What it says of this very space makes the noise of short trainings smaller."""
    table = function_of_features(SPACE, 4)
    path = written(tmp_path / "other" / "evaluate.csv", {point: table[point] for point in POINTS[::4]}, SPACE)
    shortly = noisy(table, 3 * float(np.std(list(table.values()))))
    rho = {}
    for name, settings in (("alone", ""), ("beside", f",prior='{path}'")):
        strategy = STRATEGIES.build(f"surrogate(fidelity=0.1{settings})")
        believed = strategy.believed(make_problem(), {}, scores_of(POINTS[::10], shortly))
        rho[name] = spearmanr([believed[point] for point in POINTS], [table[point] for point in POINTS]).statistic
    assert rho["beside"] > rho["alone"] + 0.05


def test_a_file_that_cannot_serve_is_refused_before_anything_is_trained(tmp_path):
    asked = []
    strategy = STRATEGIES.build(f"surrogate(fidelity=0.1,prior='{tmp_path / 'nowhere.csv'}')")
    with pytest.raises(UserError, match="nowhere.csv"):
        strategy.search(make_problem(), Evaluations(when_told(lambda point, fidelity: asked.append(point))), silent)
    assert not asked


def test_a_space_that_is_trained_wholly_has_no_short_trainings():
    space = SearchSpace("small(width=0.25)", HEADS[:1], input_shape=(1, 8, 8), num_classes=10, num_blocks=2)
    table = function_of_features(space, 0)
    asked = asked_by(f"surrogate(trials={len(table)},fidelity=0.1)", table, {}, space=space)
    assert sorted(asked, key=str) == sorted(((point, 1.0) for point in table), key=str)


def test_a_space_of_one_decoupling_has_no_features_that_vary():
    space = SearchSpace("small(width=0.25)", HEADS[:1], input_shape=(1, 8, 8), num_classes=10, num_blocks=2, gaps=[3])
    (point,) = space.enumerate()
    beliefs = Beliefs(make_problem(space=space), 10)
    assert np.isfinite(list(beliefs.believed(scores_of([point], {point: 0.5})).values())).all()


@pytest.mark.parametrize(
    ("settings", "own_schedules", "trainings"),
    [
        ("trials=3", False, 3),
        ("trials=3,fidelity=0.25,candidates=10", True, 3 + 10 * 0.25),
        ("trials=3,fidelity=0.25", True, 3 + 50 * 0.25),
        ("trials=100000,fidelity=0.25,candidates=100000", True, len(POINTS)),
    ],
)
def test_trainings_are_what_it_costs(settings, own_schedules, trainings):
    strategy = STRATEGIES.build(f"surrogate({settings})")
    assert strategy.own_schedules == own_schedules
    assert strategy.trainings(make_problem(settings=TrainingSettings(iterations=1000))) == trainings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("candidates=9", "got candidates=9 alone; give fidelity too"),
        ("fidelity=0.2,candidates=0", "two at least, got candidates=0"),
        ("fidelity=0.2,candidates=1", "two at least, got candidates=1"),
        ("fidelity=0.0", "above 0 and below 1, got 0"),
        ("fidelity=1.0", "above 0 and below 1, got 1"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        STRATEGIES.build(f"surrogate({settings})")


def test_a_share_that_rounds_to_all_iterations_and_several_objectives_are_refused():
    strategy, nothing = STRATEGIES.build("surrogate(fidelity=0.9)"), Evaluations(when_told(lambda point: None))
    problem = make_problem(settings=TrainingSettings(iterations=4))
    with pytest.raises(UserError, match=r"got fidelity=0.9 of 4; give a smaller"):
        strategy.search(problem, nothing, silent)
    with pytest.raises(UserError, match=r"got fidelity=0.9 of 4; give a smaller"):
        strategy.trainings(problem)  # so that a dry run says so too
    with pytest.raises(UserError, match="all of trials=2 in first"):
        STRATEGIES.build("surrogate(trials=2,fidelity=0.1,first=['even(2)','even(3)'])").search(problem, nothing, silent)
    with pytest.raises(UserError, match="tell of error alone, got error peak_memory"):
        strategy.search(replace(problem, objectives=("error", "peak_memory")), nothing, silent)


class TestSurrogate(StrategyContract):
    strategy = "surrogate(trials=3,fidelity=0.5,candidates=6)"
