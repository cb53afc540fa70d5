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
from nas.strategies.surrogate.prior import joined
from nas.testing import StrategyContract
from spaces.notation.errors import UserError
from tests.nas.strategies.surrogate.test_surrogate import SPACE, function_of_features, make_problem

POINTS = list(SPACE.enumerate())


def asked_by(spec, whole, shortly, *, report=silent, **problem):
    """What it asks for with its fidelity, in order."""
    asked = []

    def evaluate(point, fidelity=1.0):
        asked.append((point, fidelity))
        return Score((whole if fidelity == 1 else shortly)[point], 0.0, 1, 1.0)

    STRATEGIES.build(spec).search(make_problem(**problem), Evaluations(when_told(evaluate)), report)
    return asked


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
    scores = {point: Score(shortly[point], 0.0, 1, 1.0) for point, _ in before}
    believed = Beliefs(make_problem(), 2000, prior_of_scores(scores, make_problem())).believed({})
    assert wholly[0][0] == min(believed, key=believed.__getitem__)


def test_what_is_believed_is_nearer_to_the_truth_than_the_noisy_short_trainings_are():
    """Since a function of the features smooths their noise: of the rank that noise takes away most comes back."""
    lost = {"believed": [], "measured": []}
    for seed in range(6):
        table = function_of_features(SPACE, seed)
        points = random.Random(seed).sample(POINTS, 60)
        shortly = noisy(table, float(np.std(list(table.values()))))
        scores = {point: Score(shortly[point], 0.0, 1, 1.0) for point in points}
        believed = STRATEGIES.build("surrogate(fidelity=0.1)").believed(make_problem(), {}, scores)
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


def test_what_failed_shortly_counts_as_the_worst_of_the_others():
    scores = {point: Score(0.1 + 0.01 * n, 0.0, 1, 1.0) for n, point in enumerate(POINTS[:5])}
    failed = Score(float("nan"), 0.0, 1, 1.0, "diverged: the loss of stage 0 is nan")
    prior = prior_of_scores({**scores, POINTS[5]: failed}, make_problem())
    assert prior.values[5] == prior.values[:5].max() and np.isfinite(prior.values).all()


def test_sources_of_two_priors_stay_apart():
    scores = {point: Score(0.1 + 0.01 * n, 0.0, 1, 1.0) for n, point in enumerate(POINTS[:5])}
    one = prior_of_scores(scores, make_problem())
    both = joined([one, one._replace(sources=one.sources + 1), one])
    assert both.sources.tolist() == [1] * 5 + [3] * 5 + [4] * 5
    assert np.array_equal(both.features[10:], one.features) and np.array_equal(both.values[5:10], one.values)


@pytest.mark.parametrize(
    ("settings", "own_schedules", "trainings"),
    [
        ("trials=3", False, 3),
        ("trials=3,fidelity=0.25,candidates=10", True, 3 + 10 * 0.25),
        ("trials=3,fidelity=0.25", True, 3 + 50 * 0.25),
        ("trials=100000,fidelity=0.25,candidates=100000", True, 1.25 * len(POINTS)),
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
        ("fidelity=0.2,candidates=0", "from 1 on, got 0"),
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
    with pytest.raises(UserError, match="tell of error alone, got error peak_memory"):
        strategy.search(replace(problem, objectives=("error", "peak_memory")), nothing, silent)


class TestSurrogate(StrategyContract):
    strategy = "surrogate(trials=3,fidelity=0.5,candidates=6)"
