"""Plug-ins that break one rule each: the contract's test of that rule fails, and those of a sound plug-in pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from methods.dgl import DGL
from methods.method import Method
from nas.problem import Found, Problem, Score
from nas.tasks import TASKS
from nas.testing import BackboneContract, HeadContract, MethodCase, MethodContract, SideContract, StrategyContract, TaskContract
from nas.testing.heads import NUM_CLASSES, SHAPES, small
from nas.testing.spec import spec_of
from nas.testing.strategies import HEADS as SEARCHED
from spaces.backbone import Backbone, Site
from spaces.decoupling import Decoupling
from spaces.notation.errors import UserError
from spaces.space import SearchSpace

FAILS = (AssertionError, UserError, RuntimeError)


# ---- methods


class Sound(DGL):
    """Keeps every rule."""


class Leaks(DGL):
    """Adds the next block's parameters to a loss, as if a gradient had crossed the cut."""

    def stage(self, k, carry, y):
        following, loss = super().stage(k, carry, y)
        other = next(self.net.blocks[(k + 1) % self.net.num_blocks].parameters())
        return following, loss + other.square().sum()


class Forgets(DGL):
    """One block's parameters are in no stage."""

    def stage_modules(self, k):
        return super().stage_modules(k) if k else [self.net.heads[0]]


class Overwrites(DGL):
    """Writes into what a stage is given."""

    def stage(self, k, carry, y):
        getattr(carry, "h", carry).mul_(2)
        return super().stage(k, carry, y)


class Vectors(DGL):
    """A loss a sample."""

    def stage(self, k, carry, y):
        following, loss = super().stage(k, carry, y)
        return following, loss.expand(len(y))


class Unlearning(DGL):
    """Climbs."""

    def stage(self, k, carry, y):
        following, loss = super().stage(k, carry, y)
        return following, -loss


class Halved(DGL):
    """Half the cross-entropy."""

    def stage(self, k, carry, y):
        following, loss = super().stage(k, carry, y)
        return following, loss / 2


def named(kind: type[Method]) -> MethodCase:
    return MethodCase(spec_of(kind))


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (Leaks, "test_a_loss_reaches_its_own_stage_and_no_other"),
        (Forgets, "test_every_parameter_belongs_to_one_stage"),
        (Forgets, "test_every_tensor_belongs_to_one_stage"),
        (Overwrites, "test_inputs_and_carries_are_left_as_they_were"),
        (Vectors, "test_one_finite_scalar_loss_a_stage"),
    ],
)
def test_a_method_that_breaks_a_rule(kind: type[Method], rule: str) -> None:
    check = getattr(MethodContract(), rule)
    check(named(Sound).build())
    with pytest.raises(FAILS):
        check(named(kind).build())


def test_a_method_that_learns_nothing_is_found_out() -> None:
    with pytest.raises(AssertionError):
        MethodContract().test_learns_a_toy_task(named(Unlearning), named(Unlearning).build())


def test_a_loss_that_is_not_backprops_is_found_out() -> None:
    for rule in ("test_uncut_has_the_gradients_of_backprop_to_the_bit", "test_uncut_trains_like_a_plain_loop_to_the_bit"):
        getattr(MethodContract(), rule)(named(Sound))
        with pytest.raises(AssertionError):
            getattr(MethodContract(), rule)(named(Halved))


# ---- heads


def sound(site: Site) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(site.shape[0], site.num_classes))


def one_class_more(site: Site) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(site.shape[0], site.num_classes + 1))


class Bystander(nn.Module):
    """Has a layer that nothing goes through, and detaches."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.head, self.idle = sound(site), nn.Linear(2, 2)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.head(h)


class InPlace(Bystander):
    """Writes into the activation."""

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.head(h.detach().mul_(2))


class OfTheBatch(Bystander):
    """Answers an input by its neighbours."""

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.head(h - h.mean(0, keepdim=True))


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        (one_class_more, "test_gives_logits_and_leaves_the_activation_as_it_was"),
        (InPlace, "test_gives_logits_and_leaves_the_activation_as_it_was"),
        (Bystander, "test_gradients_reach_the_activation_and_every_parameter"),
        (InPlace, "test_gradients_reach_the_activation_and_every_parameter"),
        (OfTheBatch, "test_a_single_input_is_answered_alone"),
    ],
)
def test_a_head_that_breaks_a_rule(head: Callable[[Site], nn.Module], rule: str) -> None:
    site, check = Site(SHAPES[0], NUM_CLASSES, 1, small()), getattr(HeadContract(), rule)
    check(spec_of(sound), site)
    with pytest.raises(FAILS):
        check(spec_of(head), site)


def draws_its_own(site: Site) -> nn.Module:
    """Weights that no seed repeats."""
    head = sound(site)
    torch.seed()
    nn.init.normal_(head.get_parameter("2.weight"))
    return head


def test_weights_that_no_seed_repeats_are_found_out() -> None:
    site = Site(SHAPES[0], NUM_CLASSES, 1, small())
    with pytest.raises(AssertionError):
        HeadContract().test_equal_seeds_give_equal_weights(spec_of(draws_its_own), site)


# ---- backbones


def convolutions(input_shape: tuple[int, ...], num_classes: int, *, wrong: str = "nothing") -> Backbone:
    """Three convolutions, which are sound unless something is to be `wrong`."""
    units = [nn.Conv2d(input_shape[0], 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)]
    if wrong == "shared":
        units[2] = units[1]
    if wrong == "one unit":
        units = units[:1]
    classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes + (wrong == "classes")))
    if wrong == "idle":
        classifier.register_parameter("idle", nn.Parameter(torch.zeros(1)))
    if wrong == "unseeded":
        torch.seed()
        nn.init.normal_(units[0].weight)
    return Backbone(
        [Doubling(units[0]), *units[1:]] if wrong == "in place" else units,
        classifier,
        input_shape=input_shape,
        num_classes=num_classes,
    )


class Doubling(nn.Module):
    """Writes into its input."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.unit(x.mul_(2))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ("shared", "test_units_share_nothing"),
        ("one unit", "test_there_are_units_to_cut_between"),
        ("classes", "test_shapes_are_those_of_the_activations_and_logits_come_out"),
        ("idle", "test_gradients_reach_every_parameter"),
        ("unseeded", "test_equal_seeds_give_equal_weights"),
        ("in place", "test_inputs_are_left_as_they_were"),
    ],
)
def test_a_backbone_that_breaks_a_rule(wrong: str, rule: str) -> None:
    check = getattr(BackboneContract(), rule)
    check(spec_of(convolutions))
    with pytest.raises(FAILS):
        check(f"{spec_of(convolutions)}(wrong='{wrong}')")


# ---- strategies


class Climber:
    """Asks for five decouplings and recommends the best, unless something is to be `wrong`."""

    def __init__(self, *, wrong: str = "nothing") -> None:
        self.wrong = wrong

    def search(self, problem: Problem, evaluate: Callable[[Decoupling], Score], report: Any) -> Any:
        rng = random.Random(None if self.wrong == "unseeded" else problem.seed)
        if self.wrong == "outside":
            evaluate(Decoupling((99,), (SEARCHED[0],)))
        points = [problem.space.sample(rng) for _ in range(5)]
        scores = {point: evaluate(point) for point in points[:4]}
        if self.wrong == "unevaluated":
            return Found(next(point for point in problem.space.enumerate() if point not in scores))
        if self.wrong == "nan":
            return Found(next(point for point, score in scores.items() if score.loss < 1))
        if self.wrong == "no Found":
            return points[0]
        front = tuple(scores) if self.wrong == "front" or len(problem.objectives) > 1 else ()
        return Found(min(scores, key=lambda point: scores[point].error), front)


SPACE = SearchSpace("small(width=0.25)", SEARCHED, input_shape=(1, 8, 8), num_classes=10, num_blocks=(2, 4))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ("outside", "test_stays_in_the_space_and_recommends_what_it_evaluated"),
        ("unevaluated", "test_stays_in_the_space_and_recommends_what_it_evaluated"),
        ("no Found", "test_stays_in_the_space_and_recommends_what_it_evaluated"),
        ("unseeded", "test_asks_the_same_again_and_goes_on_after_a_stop"),
        ("front", "test_one_objective_leaves_no_front"),
        ("nan", "test_answers_when_every_training_diverges"),
    ],
)
def test_a_strategy_that_breaks_a_rule(wrong: str, rule: str) -> None:
    check = getattr(StrategyContract(), rule)
    check(spec_of(Climber), SPACE)
    with pytest.raises((*FAILS, StopIteration)):
        check(f"{spec_of(Climber)}(wrong='{wrong}')", SPACE)


def test_a_front_with_dominated_points_is_found_out() -> None:
    with pytest.raises(AssertionError):
        StrategyContract().test_several_objectives_give_a_front_or_are_refused(spec_of(Climber), SPACE)


# ---- tasks


def test_a_task_whose_splits_are_the_same_samples_is_found_out(tmp_path: Path) -> None:
    data = TASKS.build("digits", tmp_path)
    TaskContract().test_splits_are_different_samples(data)
    with pytest.raises(AssertionError):
        TaskContract().test_splits_are_different_samples(replace(data, validation=data.train))  # type: ignore[type-var]


def test_labels_that_are_no_class_are_found_out(tmp_path: Path) -> None:
    data = TASKS.build("digits", tmp_path)
    with pytest.raises(AssertionError):
        TaskContract().test_every_split_has_samples_with_labels_of_the_classes(replace(data, num_classes=9))  # type: ignore[type-var]


# ---- as a user has them


class TestSoundMethod(MethodContract):
    method = Sound


class TestSoundHead(HeadContract):
    head = sound


class TestSoundBackbone(BackboneContract):
    backbone = convolutions


class TestConvSide(SideContract):
    side = "conv"
