"""The search itself, on functions of the features and on tables of other searches."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from methods.training.settings import TrainingSettings
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.evaluations import Evaluations, when_told
from nas.problem import Problem, Score, silent
from nas.records.results import Results
from nas.records.results_log import ResultsLog
from nas.strategies import STRATEGIES
from nas.strategies.surrogate.beliefs import Beliefs
from nas.strategies.surrogate.candidates import Candidates, neighbours
from nas.strategies.surrogate.features import Features
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

HEADS = [f"conv(depth={depth})" for depth in (1, 2, 3)]
SPACE = SearchSpace("small(width=0.25)", HEADS, input_shape=(1, 8, 8), num_classes=10, num_blocks=(2, 4))


def make_problem(seed=0, space=SPACE, **settings):
    nothing = Split(torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
    images = Images(nothing, nothing, lambda: nothing, 10, (0.0,), (1.0,))
    problem = Problem(
        space, "dgl", "digits", images, TrainingSettings(), seed, torch.device("cpu"), Results("results"), Path("runs")
    )
    return replace(problem, **settings)


def function_of_features(space, seed):
    """An error for each decoupling, a smooth function of some features, all of about equal weight."""
    points = list(space.enumerate())
    features = Features(space).of_all(points)
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-9)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(scaled.shape[1], 4, replace=False)
    values = (rng.normal(size=4) * np.tanh(scaled[:, chosen] - rng.normal(size=4))).sum(1)
    return dict(zip(points, 0.5 + 0.05 * values, strict=True))


def search(spec, table, problem, at_once=1):
    """The decouplings that it asked for, in order, and its answer."""
    asked = []

    def evaluate(point):
        asked.append(point)
        return Score(table[point], 0.0, 1000 * max(map(len, point.blocks(6))), 1.0)

    found = STRATEGIES.build(spec).search(problem, Evaluations(when_told(evaluate), at_once=at_once), silent)
    return asked, found


def trainings_to_the_best(spec, seeds):
    """Mean number of trainings until one of the best 1 % was trained."""
    counts = []
    for seed in seeds:
        table = function_of_features(SPACE, seed)
        best = set(sorted(table, key=table.__getitem__)[: len(table) // 100])
        asked, _ = search(spec, table, make_problem(seed))
        counts.append(next((n for n, point in enumerate(asked, 1) if point in best), len(asked) + 1))
    return np.mean(counts)


def test_it_finds_the_best_of_a_function_of_the_features_in_a_fraction_of_random_trainings():
    assert trainings_to_the_best("surrogate(trials=25)", range(2)) < 0.5 * trainings_to_the_best("random(trials=200)", range(12))


def test_what_it_believes_ranks_what_was_never_trained():
    table = function_of_features(SPACE, 1)
    trained = random.Random(0).sample(list(table), 40)
    scores = {point: Score(table[point], 0.0, 1, 1.0) for point in trained}
    believed = STRATEGIES.build("surrogate").believed(make_problem(), scores)
    others = [point for point in table if point not in trained]
    assert set(believed) == set(table)
    assert np.corrcoef([believed[point] for point in others], [table[point] for point in others])[0, 1] > 0.9


def test_in_flight_decouplings_differ_and_leave_the_rest_as_good():
    table = function_of_features(SPACE, 1)
    asked, found = search("surrogate(trials=20)", table, make_problem(), at_once=4)
    assert len(set(asked)) == 20
    assert table[found.decoupling] == min(table[point] for point in asked)
    assert sorted(table.values()).index(table[found.decoupling]) < 0.05 * len(table)


def test_the_expected_answer_does_not_fall_for_one_lucky_training():
    """Of the same 60 noisy trainings the one that is believed to be best loses less than the one of the lowest error."""
    table = function_of_features(SPACE, 2)
    rng, lost = random.Random(0), {"measured": [], "expected": []}
    for _ in range(6):
        noisy = {point: table[point] + rng.gauss(0, 0.1) for point in rng.sample(list(table), 60)}
        scores = {point: Score(error, 0.0, 1, 1.0) for point, error in noisy.items()}
        answers = {"measured": min(noisy, key=noisy.__getitem__), "expected": Beliefs(make_problem(), 2000, None).lowest(scores)}
        for name, answer in answers.items():
            lost[name].append(table[answer] - min(table[point] for point in noisy))
    assert np.mean(lost["expected"]) < 0.5 * np.mean(lost["measured"])


def test_an_expected_answer_is_what_is_believed_to_be_lowest_of_what_was_trained():
    table = function_of_features(SPACE, 2)
    asked, found = search("surrogate(trials=9,answer=expected)", table, make_problem())
    scores = {point: Score(table[point], 0.0, 1000, 1.0) for point in asked}
    assert found.decoupling == Beliefs(make_problem(), 2000, None).lowest(scores)


def test_an_expected_answer_is_of_one_objective():
    problem = make_problem(objectives=("error", "peak_memory"))
    with pytest.raises(UserError, match="answer=expected.* is for one objective, got error peak_memory"):
        search("surrogate(answer=expected)", {}, problem)


@pytest.mark.parametrize("name", ["initial", "pool", "trials"])
def test_counts_are_from_one_on(name):
    with pytest.raises(UserError, match="got (a budget of )?0"):
        STRATEGIES.build(f"surrogate({name}=0)")


def test_failed_trainings_count_as_the_worst_and_do_not_drown_the_rest():
    """An error of 1 among errors that differ by a percent would else be all that the process sees."""
    table = function_of_features(SPACE, 3)
    asked = []

    def evaluate(point):
        asked.append(point)
        failed = len(asked) in (2, 4)
        return Score(1.0 if failed else table[point], 0.0, 1, 1.0, "diverged: the loss of stage 0 is nan" if failed else "ok")

    found = STRATEGIES.build("surrogate(trials=22)").search(make_problem(), Evaluations(when_told(evaluate)), silent)
    assert sorted(table.values()).index(table[found.decoupling]) < 0.05 * len(table)


# ---- candidates


def test_neighbours_are_all_that_one_change_of_a_cut_or_head_makes():
    point = Decoupling((2, 4), (SPACE.heads[0], SPACE.heads[1]))
    found = set(neighbours(SPACE, point))

    def is_near(other):
        own, others = dict(zip(point.cuts, point.heads, strict=True)), dict(zip(other.cuts, other.heads, strict=True))
        gone, new = set(own) - set(others), set(others) - set(own)
        changed = {cut for cut in set(own) & set(others) if own[cut] != others[cut]}
        if len(gone) == len(new) == 1:
            moved, to = *gone, *new
            return not changed and abs(moved - to) == 1 and own[moved] == others[to]
        return len(gone) + len(new) + len(changed) == 1

    assert found == {other for other in SPACE.enumerate() if is_near(other)}


def test_of_a_large_space_a_part_and_what_is_near_the_best():
    candidates, best = Candidates(SPACE, 20, 0), Decoupling((2,), (SPACE.heads[0],))
    found = candidates.unseen({best}, [best])
    assert set(found) == ({*candidates.points, *neighbours(SPACE, best)} - {best}) and len(candidates.points) <= 20
    everything = set(SPACE.enumerate())
    last = Decoupling((1, 2, 3), (SPACE.heads[0],) * 3)
    assert candidates.unseen(everything - {last}, []) == [last]


# ---- a prior


def written(path, table, space, seeds=(0,), **columns):
    log = ResultsLog(path)
    row = {"search": "x", "number": 1, "method": "dgl", "backbone": str(space.backbone), "task": "digits", "status": "ok"}
    row |= {"strategy": "random", "objectives": "error", "seconds": 1.0, "known": False, **columns}
    for seed in seeds:
        log.append_all([{**row, "decoupling": str(p), "seed": seed, "validation_error": error} for p, error in table.items()])
    return path


def test_a_prior_of_another_network_saves_trainings(tmp_path):
    """With the same function of the features, in a network of another width and for other numbers of blocks."""
    other = SearchSpace("small(width=0.5)", HEADS, input_shape=(1, 8, 8), num_classes=10, num_blocks=(1, 2))
    both = {}
    for space in (SPACE, other):
        both[space], of_space = {}, Features(space)
        for point in space.enumerate():
            features = dict(zip(Features.names, of_space(point), strict=True))
            both[space][point] = 0.4 + abs(features["first_cut"] - 0.5) - 0.2 * features["last_cut"] + 0.1 * features["head_macs"]
    path = written(tmp_path / "evaluate.csv", both[other], other)
    asked, _ = search(f"surrogate(trials=4,prior='{path}')", both[SPACE], make_problem())
    ranks = [sorted(both[SPACE].values()).index(both[SPACE][point]) / len(both[SPACE]) for point in asked]
    assert min(ranks) < 0.02 and np.mean(ranks) < 0.25
    again, _ = search(f"surrogate(trials=4,prior='{path}')", both[SPACE], make_problem())
    assert asked == again


def test_priors_that_cannot_serve_are_refused(tmp_path):
    few = written(tmp_path / "few.csv", dict.fromkeys(list(SPACE.enumerate())[:3], 0.5), SPACE)
    with pytest.raises(UserError, match="5 decouplings or more that were trained alike, but .* has none"):
        search(f"surrogate(prior='{few}')", {}, make_problem())
    texts = written(tmp_path / "texts.csv", dict.fromkeys(list(SPACE.enumerate())[:6], 0.5), SPACE)
    with pytest.raises(UserError, match="a file that the search does not write to"):
        search(f"surrogate(prior='{texts}')", {}, make_problem(results=Results(tmp_path)))
    with pytest.raises(UserError, match="nowhere.csv"):
        search(f"surrogate(prior='{tmp_path / 'nowhere.csv'}')", {}, make_problem())
