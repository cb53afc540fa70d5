"""Curves against a walk sample by sample; thresholds and choices are of the validation split alone."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from nas.exits.answers import ExitAnswers, ExitCost
from nas.exits.confidence import CONFIDENCES
from nas.exits.curves import curve, curves, leaving, thresholds

COSTS = [ExitCost(1, 10, 100, 100), ExitCost(2, 20, 180, 210), ExitCost(3, 30, 260, 330)]


def answers(num_samples: int, seed: int, num_exits: int = 3) -> ExitAnswers:
    """Deeper exits are right more often and surer."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(4, (num_samples,), generator=generator)
    signal = 1.5 * torch.arange(1, num_exits + 1)[:, None, None] * F.one_hot(y, 4)
    return ExitAnswers(signal + 1.5 * torch.randn(num_exits, num_samples, 4, generator=generator), y)


@pytest.mark.parametrize("rule", CONFIDENCES)
def test_a_point_is_each_sample_leaving_at_the_first_sure_exit(rule: str) -> None:
    validation, test = answers(60, 0), answers(50, 1)
    points = curve(rule, validation, test, COSTS)
    assert 6 <= len(points) <= 10
    for point in points:
        for name, part in (("validation", validation), ("test", test)):
            wrong = macs = 0.0
            left = [0, 0, 0]
            for n in range(len(part.y)):
                for k in range(3):
                    before = part.logits[k - 1, n : n + 1] if k else None
                    if k == 2 or float(CONFIDENCES[rule](part.logits[k, n : n + 1], before)) >= point.threshold:
                        break
                wrong, macs = wrong + float(part.logits[k, n].argmax() != part.y[n]), macs + COSTS[k].path_macs
                left[k] += 1
            assert getattr(point, f"{name}_error") == pytest.approx(wrong / len(part.y))
            assert getattr(point, f"{name}_macs") == pytest.approx(macs / len(part.y))
        assert point.test_shares == pytest.approx([count / 50 for count in left])


@pytest.mark.parametrize("rule", CONFIDENCES)
def test_thresholds_go_from_the_first_exit_that_may_to_the_whole_path(rule: str) -> None:
    sure = answers(200, 0).confidences(CONFIDENCES[rule])
    levels = thresholds(sure)
    assert levels == sorted(set(levels)) and levels[0] > 0 and levels[-2] <= 1
    assert (leaving(sure, levels[-2]) == 2).sum() >= 198 and (leaving(sure, levels[-1]) == 2).all()
    assert not leaving(sure, levels[0]).any() or rule == "agreement"
    macs = [point.validation_macs for point in curve(rule, answers(200, 0), answers(50, 1), COSTS)]
    assert macs == sorted(macs) and max(high - low for low, high in pairwise(macs)) < 100


def test_the_test_split_decides_nothing() -> None:
    validation = answers(60, 0)
    found = [
        [(point.rule, point.threshold, point.validation_error, point.validation_macs, point.chosen) for point in own]
        for own in (curves(validation, test, COSTS) for test in (answers(50, 1), answers(20, 2)))
    ]
    assert found[0] == found[1]
    assert {rule for rule, *_ in found[0]} == set(CONFIDENCES)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rule", CONFIDENCES)
def test_chosen_is_the_cheapest_as_good_as_every_exit(rule: str, seed: int) -> None:
    validation = answers(80, seed)
    points = curve(rule, validation, answers(50, 1), COSTS)
    (chosen,) = [point for point in points if point.chosen]
    best = min(validation.errors())
    good = [point for point in points if point.validation_error <= best]
    if good:
        assert chosen in good and chosen.validation_macs == min(point.validation_macs for point in good)
    else:
        assert chosen.validation_error == min(point.validation_error for point in points)


@pytest.mark.parametrize("rule", ["max_softmax", "margin", "entropy", "sigmoid"])
def test_the_full_path_is_on_the_curve_where_confidences_round_to_one(rule: str) -> None:
    """The first two exits are quite sure, and wrong: only the full path is right."""
    y = torch.arange(4).repeat(5)
    sure_and_wrong = 200.0 * F.one_hot((y + 1) % 4, 4)
    both = ExitAnswers(torch.stack([sure_and_wrong, sure_and_wrong, F.one_hot(y, 4).float()]), y)
    last = curve(rule, both, both, COSTS)[-1]
    assert (last.threshold, last.validation_error, last.test_error, last.test_shares) == (math.inf, 0, 0, (0, 0, 1))
    assert last.validation_macs == last.test_macs == 330 and last.chosen


def test_one_exit_has_no_curve_and_where_nobody_can_leave_early_it_is_the_full_path() -> None:
    assert curves(answers(30, 0, 1), answers(30, 1, 1), COSTS[:1]) == []
    two = curves(*(answers(30, seed, 2) for seed in (0, 1)), COSTS[:2])
    assert {point.rule for point in two} == set(CONFIDENCES) and all(len(point.test_shares) == 2 for point in two)
    (agreement,) = [point for point in two if point.rule == "agreement"]
    assert agreement.test_shares == (0, 1) and agreement.chosen
