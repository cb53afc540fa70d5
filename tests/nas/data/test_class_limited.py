"""Batches of a few classes: how many, how likely, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from methods.training.settings import TrainingSettings
from nas.data.class_limited import ClassLimited
from nas.data.images.images import Batches, Images
from nas.data.images.samples import Split
from spaces.notation.errors import UserError

SIZES = (3, 5, 9, 4)  # of the classes
LABELS = torch.from_numpy(np.random.default_rng(1).permutation(np.repeat(np.arange(4), SIZES)))


def limited(num: int, batch_size: int) -> ClassLimited:
    return ClassLimited(LABELS, 4, num, batch_size)


def drawn(num: int, batch_size: int, count: int) -> list[np.ndarray]:
    index = limited(num, batch_size).index
    return [index(np.random.default_rng((0, number))) for number in range(count)]


def check_uniform(counts: list[int]) -> None:
    """Chi-square: its mean is choices - 1 and its deviation sqrt(2 (choices - 1))."""
    expected, freedom = sum(counts) / len(counts), len(counts) - 1
    assert sum((count - expected) ** 2 / expected for count in counts) <= freedom + 4 * (2 * freedom) ** 0.5


@pytest.mark.parametrize("num, batch_size", [(1, 1), (1, 3), (2, 5), (2, 6), (3, 3), (3, 8)])
def test_a_batch_holds_exactly_so_many_classes_about_equally_and_no_sample_twice(num: int, batch_size: int) -> None:
    for index in drawn(num, batch_size, 50):
        counts = Counter(LABELS[index].tolist())
        assert len(index) == len(set(index.tolist())) == batch_size and len(counts) == num
        assert max(counts.values()) - min(counts.values()) <= 1


def test_every_set_of_classes_is_as_likely_and_within_a_class_every_sample() -> None:
    batches = drawn(2, 4, 3000)
    sets = Counter(tuple(sorted(set(LABELS[index].tolist()))) for index in batches)
    assert len(sets) == 6
    check_uniform(list(sets.values()))
    samples = Counter(number for index in batches for number in index.tolist())
    for label in range(4):
        check_uniform([samples[number] for number in range(len(LABELS)) if LABELS[number] == label])


@pytest.mark.parametrize(
    "num, batch_size, says",
    [
        (0, 4, r"1\.\.3.*num=0"),
        (4, 4, r"1\.\.3.*num=4"),
        (9, 4, r"1\.\.3.*num=9"),
        (3, 2, "at most 2 classes.*num=3"),
        (1, 4, "takes 4 of each.*class 0 has 3"),
        (2, 7, "takes 4 of each.*class 0 has 3"),
    ],
)
def test_a_limit_that_cannot_be_kept_or_limits_nothing_is_refused(num: int, batch_size: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        limited(num, batch_size)


def made_up() -> Images:
    split = Split(torch.arange(len(LABELS), dtype=torch.uint8).view(-1, 1, 1, 1), LABELS)
    return Images(split, split, lambda: split, 4, (0.0,), (1 / 255,))


def test_batches_are_limited_until_then_and_as_without_a_limit_after() -> None:
    settings = TrainingSettings(iterations=30, batch_size=4, class_batches="classes(2, until=0.5)")
    assert settings.class_batches == "classes(num=2,until=0.5)"
    limited, plain = (Batches(made_up(), 4, limit=limit) for limit in (settings.class_limit, None))
    assert limited.num_batches == plain.num_batches == 5
    several = 0
    for iteration in range(30):
        (x, y), (plain_x, plain_y) = limited.batch(3, iteration), plain.batch(3, iteration)
        assert torch.equal(LABELS[x.flatten().round().long()], y), "labels are those of the pixels"
        if iteration < 15:
            assert len(set(y.tolist())) == 2
            several += len(set(plain_y.tolist())) > 2
        else:
            assert torch.equal(x, plain_x) and torch.equal(y, plain_y)
    assert several, "without a limit there are more"


def test_a_limited_batch_is_a_function_of_seed_and_iteration() -> None:
    limit = TrainingSettings(class_batches="classes(num=2)").class_limit
    once = [Batches(made_up(), 4, limit=limit).batch(1, iteration)[0] for iteration in range(6)]
    again = Batches(made_up(), 4, limit=limit)
    assert all(torch.equal(again.batch(1, iteration)[0], once[iteration]) for iteration in (5, 0, 3, 1))
    assert any(not torch.equal(again.batch(2, iteration)[0], once[iteration]) for iteration in range(6))


@pytest.mark.parametrize("iterations, until, limited_for", [(10, 1, 10), (10, 0.5, 5), (10, 0.01, 1), (3, 0.5, 2)])
def test_until_is_a_share_of_the_iterations(iterations: int, until: float, limited_for: int) -> None:
    limit = TrainingSettings(iterations=iterations, class_batches=f"classes(num=3,until={until})").class_limit
    assert limit is not None and limit.iterations == limited_for


@pytest.mark.parametrize(
    "written, says",
    [
        ("classes", "needs the setting num"),
        ("classes(num=0)", "num .* got 0"),
        ("classes(num=2,until=0)", r"until .*\(0, 1\]"),
        ("classes(num=2,until=1.5)", r"until .*1\.5"),
        ("clases(num=2)", "did you mean classes"),
    ],
)
def test_a_wrong_limit_is_refused_with_the_settings(written: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        TrainingSettings(class_batches=written)
