"""Shared weights: what a step trains, what a candidate's loss is, the way on after a stop, and the ranking."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from methods.table import METHODS
from methods.training import checkpoint
from methods.training.diverged import Diverged
from methods.training.optimization import OPTIMIZERS, SCHEDULES
from methods.training.scoring import error_and_loss
from methods.training.trainer import stage_seed
from nas.evaluations import Evaluations, when_told
from nas.problem import Score, silent
from nas.strategies import STRATEGIES
from nas.strategies.supernet.ranking import candidates_of, smoothed
from nas.strategies.supernet.settings import Settings
from nas.strategies.supernet.shared_training import SharedTraining
from nas.strategies.supernet.shared_weights import SharedWeights
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

TINY = "iterations=4,snapshots=2,tune=2,candidates=5,outer_batch=32,trials=3"
HEADS = ["linear", "conv(depth=1)"]


def search(problem, settings=TINY, report=silent, score=lambda decoupling: 0.5):
    """All that was found, and what was evaluated."""
    asked = []

    def evaluate(decoupling):
        problem.space.check(decoupling)
        asked.append(decoupling)
        return Score(score(decoupling), 0.0, peak_activation_bytes=1, pipeline_speedup_bound=1.0)

    return STRATEGIES.build(f"supernet({settings})").search(problem, Evaluations(when_told(evaluate)), report), asked


def ranked(problem, settings=TINY):
    return STRATEGIES.build(f"supernet({settings})").ranked(problem, silent)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


# ---- shared weights


def test_a_step_is_that_of_the_decoupling_alone_and_leaves_all_other_heads_as_they_are(digits_problem):
    """One step from the shared weights, against the network that the space builds, with the same weights put in by hand."""
    problem = digits_problem(heads=HEADS)
    space = problem.space
    point = Decoupling((2, 4), (space.heads[1], space.heads[0]))
    weights = SharedWeights(problem)
    alone = METHODS.build(problem.method, space.build(point)).train()
    for block, units in zip(alone.net.blocks, point.blocks(space.num_units), strict=True):
        for unit, i in zip(block, units, strict=True):
            unit.load_state_dict(weights.backbone.units[i].state_dict())
    for head, place in zip(alone.net.heads, zip(point.cuts, point.heads, strict=True), strict=False):
        head.load_state_dict(weights._heads[place].state_dict())
    alone.net.heads[-1].load_state_dict(weights.backbone.classifier.state_dict())
    before = {place: state(head) for place, head in weights._heads.items()}
    method = weights.method(point)
    x, y = problem.data.train_batches(8).batch(0, 0)
    for one in (method, alone):
        optimizer = torch.optim.SGD([*one.parameters(), *weights.module.parameters()][: len(list(one.parameters()))], 0.1)
        torch.manual_seed(0)
        for loss in one.losses(x, y):
            loss.backward()
        optimizer.step()
    for (name, mine), other in zip(method.state_dict().items(), alone.state_dict().values(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6), name
    for place, head in weights._heads.items():
        changed = any(not torch.equal(tensor, before[place][name]) for name, tensor in head.state_dict().items())
        assert changed == (place in zip(point.cuts, point.heads, strict=True))


def test_a_whole_shared_training_is_that_of_its_draws(digits_problem):
    """Against a loop by hand, with heads that are not drawn neither decayed nor moved on by momentum."""
    problem = digits_problem(heads=HEADS)
    training = SharedTraining(Settings(iterations=6, snapshots=1), problem, [], silent)
    training.losses()
    weights = SharedWeights(problem)
    settings = problem.settings
    optimizer = OPTIMIZERS.build(settings.optimizer, weights.module.parameters(), settings.lr, settings.weight_decay)
    batches, schedule = problem.data.train_batches(settings.batch_size), SCHEDULES.build(settings.schedule)
    drawn = set()
    for step in range(6):
        point = problem.space.sample(random.Random(stage_seed(0, step, 1)))
        drawn.add(point)
        optimizer.param_groups[0]["lr"] = settings.lr * schedule((step + 1) / 6)
        for loss in weights.method(point).losses(*batches.batch(0, step)):
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert len(drawn) > 3
    for name, tensor in weights.module.state_dict().items():
        assert torch.equal(tensor, training._snapshots[-1][name]), name


def test_the_loss_of_a_candidate_is_that_after_its_own_steps_from_the_snapshot_whatever_came_before(digits_problem):
    problem = digits_problem(heads=HEADS)
    points = candidates_of(problem.space, 4, seed=0)
    settings = Settings(iterations=4, snapshots=1, tune=3, lr=0.2, outer_batch=64)
    found = SharedTraining(settings, problem, points, silent)
    losses = found.losses()
    assert len({round(loss, 6) for loss in losses}) > 1
    for point, loss in zip(points, losses, strict=True):
        weights = SharedWeights(problem)
        weights.module.load_state_dict(found._snapshots[0])
        method = weights.method(point)
        optimizer = torch.optim.SGD(weights.module.parameters(), 0.2, 0.9, weight_decay=problem.settings.weight_decay)
        for step in range(3):
            optimizer.param_groups[0]["lr"] = 0.2 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step + 1) / 3)))
            for one in method.losses(*found.batches.batch(0, 4 + step)):
                one.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        data = problem.data
        judged = data.random_batches(data.validation, 64).batch(0, 0)
        assert loss == pytest.approx(error_and_loss(method, iter([judged]), "fp32")[1], rel=1e-5)


# ---- the search


def test_the_best_of_the_ranking_are_trained_and_the_best_of_these_is_the_answer(digits_problem):
    problem = digits_problem(num_blocks=(2, 3), heads=HEADS)
    order = list(ranked(problem))
    assert set(order) == set(problem.space.enumerate())
    found, asked = search(problem, score=lambda point: 0.1 if point == order[1] else 0.5)
    assert asked == order[:3] and found.decoupling == order[1]
    assert found.notes == (f"it was number 2 of {len(order)} in the ranking",)


def test_without_smoothing_the_losses_rank_and_those_without_one_do_not(digits_problem):
    problem = digits_problem(num_blocks=(2, 3), heads=HEADS)
    found = ranked(problem, TINY + ",smooth=False")
    assert len(found) == 5 and all(earlier <= later for earlier, later in pairwise(found.values()))


def test_another_seed_shares_other_weights(digits_problem):
    problem = digits_problem(num_blocks=(2, 3), heads=HEADS)
    first, second = (ranked(replace(problem, seed=seed)) for seed in (0, 1))
    assert list(first.values()) != list(second.values())


@pytest.mark.parametrize("stop_at", [("training", 1), ("training", 3), ("tuning", 1), ("tuning", 7)])
def test_a_search_that_was_stopped_goes_on_to_the_bit(digits_problem, monkeypatch, stop_at):
    constraints = {"num_blocks": (2, 3), "heads": HEADS}
    whole = list(ranked(digits_problem("whole", **constraints)).items())
    stopped = digits_problem("stopped", **constraints)
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)

    def stop(what, done, total, **figures):
        if stop_at[0] in what and done == stop_at[1] + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(stopped, report=stop)
    heard = []
    search(stopped, report=lambda what, done, total, **figures: heard.append((what, done)))
    assert stop_at[0] in heard[0][0] and heard[0][1] == stop_at[1] + 1  # the step whose state was not saved
    assert list(ranked(stopped).items()) == whole


def test_more_trials_and_smoothing_take_over_the_shared_weights(digits_problem):
    problem, heard = digits_problem(num_blocks=(2, 3), heads=HEADS), []
    search(problem)
    settings = TINY.replace("trials=3", "trials=4,smooth=False")
    _, asked = search(problem, settings, report=lambda what, done, total, **figures: heard.append(what))
    assert len(asked) == 4 and set(heard) == {"trials"}


def test_a_candidate_whose_tuning_diverges_is_last_and_a_training_that_does_is_told(digits_problem):
    problem = digits_problem(num_blocks=2, heads=HEADS)
    with np.errstate(all="ignore"):
        assert set(ranked(problem, f"{TINY},lr=1e30,smooth=False").values()) == {math.inf}
    with pytest.raises(Diverged, match="shared weights"):
        ranked(replace(problem, settings=replace(problem.settings, lr=1e30)))


# ---- what is refused


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"method": str(METHODS.resolve("early_exit"))}, "cross every cut"),
        ({"method": str(METHODS.resolve("infopro"))}, "weights of blocks and heads, got infopro.*dgl"),
        ({"objectives": ("error", "peak_memory")}, "validation loss, got the objectives error peak_memory"),
    ],
)
def test_what_shared_weights_cannot_rank_is_refused(digits_problem, changes, told):
    with pytest.raises(UserError, match=told):
        search(replace(digits_problem(num_blocks=2), **changes))


def test_a_space_without_cuts_and_compiled_steps_are_refused(digits_problem):
    with pytest.raises(UserError, match="single block.*num_blocks"):
        search(digits_problem(num_blocks=1))
    problem = digits_problem(num_blocks=2)
    with pytest.raises(UserError, match="--compile"):
        search(replace(problem, settings=replace(problem.settings, compile="default")))


@pytest.mark.parametrize("setting", ["iterations=0", "tune=0", "outer_batch=1", "lr=0.0", "trials=0", "snapshots=0"])
def test_settings_that_cannot_be_are_refused(setting):
    with pytest.raises(UserError, match=f"supernet's {setting.partition('=')[0]} is .*got {setting.partition('=')[2]}"):
        STRATEGIES.build(f"supernet({setting})")


# ---- the ranking


def test_smoothing_ranks_better_than_noisy_losses_and_ranks_what_has_none():
    space = SearchSpace("small(width=0.25)", HEADS, input_shape=(1, 8, 8), num_classes=10, num_blocks=(2, 4))
    points = list(space.enumerate())
    truth = {point: point.cuts[0] / 6 + 0.3 * (point.heads[0] == space.heads[0]) for point in points}
    rng = random.Random(0)
    noisy = {point: truth[point] + rng.gauss(0, 0.4) for point in points[::2]} | {points[1]: math.inf}
    found = smoothed(noisy, space, seed=0)
    assert set(found) == set(points)

    def agreement(scores):
        order = list(scores)
        return np.corrcoef([scores[point] for point in order], [truth[point] for point in order])[0, 1]

    finite = {point: loss for point, loss in noisy.items() if math.isfinite(loss)}
    assert agreement(found) > 0.7 > agreement(finite) + 0.1


def test_nothing_but_divergence_leaves_the_order_as_it_was():
    space = SearchSpace("small(width=0.25)", HEADS, input_shape=(1, 8, 8), num_classes=10, num_blocks=2)
    points = list(space.enumerate())
    assert list(smoothed(dict.fromkeys(points, math.inf), space, seed=0)) == points


def test_candidates_are_different_and_all_where_there_are_no_more():
    space = SearchSpace("small(width=0.25)", HEADS, input_shape=(1, 8, 8), num_classes=10, num_blocks=2)
    assert candidates_of(space, 100, 0) == list(space.enumerate())
    assert len(set(candidates_of(space, 7, 0))) == 7 and candidates_of(space, 7, 0) != candidates_of(space, 7, 1)
