"""Batches against a slow, image by image reading of what they promise."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nas.data.images.augmentation import Augmentation
from nas.data.images.images import Batches, Images, eval_batches
from nas.data.images.samples import Split
from nas.data.images.torchvision_import import torchvision
from spaces.notation.errors import UserError

COUNT, HEIGHT, WIDTH = 12, 5, 4
PLAIN = Augmentation()


def made_up(channels: int = 2, augmentation: Augmentation = PLAIN) -> Images:
    """Images without black pixels, so that padding shows; the label of an image is its number."""
    random = np.random.default_rng(3)
    pixels = torch.from_numpy(random.integers(1, 256, (COUNT, HEIGHT, WIDTH, channels), dtype=np.uint8))
    split = Split(pixels, torch.arange(COUNT))
    mean, std = tuple(random.uniform(0.3, 0.6, channels)), tuple(random.uniform(0.1, 0.3, channels))
    return Images(split, Split(pixels[:5], torch.arange(5)), lambda: split, COUNT, mean, std, augmentation)


def normalised(images: Images, pixels: np.ndarray) -> torch.Tensor:
    """One (H, W, C) image as torchvision normalises it."""
    transforms = torchvision().transforms
    return transforms.Normalize(images.mean, images.std)(transforms.ToTensor()(np.ascontiguousarray(pixels)))


def variants(images: Images, crop: int, flips: tuple[bool, ...], **padding: Any) -> torch.Tensor:
    """Every crop and flip of every training image: (images, variants, C, H, W)."""
    every = []
    for image in images.train.images.numpy():
        padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)), **padding)
        windows = [padded[top : top + HEIGHT, left : left + WIDTH] for top in range(2 * crop + 1) for left in range(2 * crop + 1)]
        every.append([normalised(images, window[:, ::-1] if flip else window) for window in windows for flip in flips])
    return torch.stack([torch.stack(of_one) for of_one in every])


def holes(side: int) -> torch.Tensor:
    """1 where a cut-out keeps the pixel, for every centre: (centres, H, W)."""
    keep = torch.ones(HEIGHT * WIDTH, HEIGHT, WIDTH)
    for number, (y, x) in enumerate(itertools.product(range(HEIGHT), range(WIDTH))):
        for i, j in itertools.product(range(HEIGHT), range(WIDTH)):
            if -(side // 2) <= i - y < side - side // 2 and -(side // 2) <= j - x < side - side // 2:
                keep[number, i, j] = 0
    return keep


def found(x: torch.Tensor, candidates: torch.Tensor) -> list[int]:
    """For each image the number of the one candidate that it equals."""
    equal = (x[:, None] - candidates).abs().amax((2, 3, 4)) < 1e-5
    assert (equal.sum(1) == 1).all()
    return equal.int().argmax(1).tolist()


def check_uniform(counts: Counter[int], choices: int) -> None:
    """Chi-square: its mean is choices - 1 and its deviation sqrt(2 (choices - 1))."""
    expected = sum(counts.values()) / choices
    chi_square = sum((counts[choice] - expected) ** 2 / expected for choice in range(choices))
    assert chi_square <= choices - 1 + 4 * (2 * (choices - 1)) ** 0.5


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("crop, flip", [(0, False), (0, True), (1, False), (2, True)])
def test_a_batch_holds_crops_and_flips_of_its_images_each_equally_often(channels: int, crop: int, flip: bool) -> None:
    images = made_up(channels, Augmentation(crop, flip))
    batches, candidates = Batches(images, 4), variants(images, crop, (False, True) if flip else (False,))
    counts: Counter[int] = Counter()
    for iteration in range(300):
        x, y = batches.batch(7, iteration)
        counts.update(found(x, candidates[y]))
    check_uniform(counts, candidates.shape[1])


@pytest.mark.parametrize("crop, flip", [(1, False), (2, True), (3, True)])
def test_reflected_padding_is_numpys(crop: int, flip: bool) -> None:
    images = made_up(3, Augmentation(crop, flip, padding="reflect"))
    batches, candidates = Batches(images, 4), variants(images, crop, (False, True) if flip else (False,), mode="reflect")
    for iteration in range(60):
        x, y = batches.batch(7, iteration)
        assert ((x[:, None] - candidates[y]).abs().amax((2, 3, 4)) < 1e-5).any(1).all()


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_cut_out_is_a_square_of_the_mean_whose_centre_is_uniform(side: int) -> None:
    images = made_up(3, Augmentation(cutout=side))
    batches, keep = Batches(images, 6), holes(side)
    candidates = variants(images, 0, (False,)) * keep[None, :, None]
    counts: Counter[int] = Counter()
    for iteration in range(200):
        x, y = batches.batch(1, iteration)
        counts.update(found(x, candidates[y]))
    check_uniform(counts, len(keep))


def test_a_cut_out_comes_after_crop_and_flip() -> None:
    images = made_up(2, Augmentation(crop=1, flip=True, cutout=3))
    every = variants(images, 1, (False, True))[:, :, None] * holes(3)[None, None, :, None]
    for iteration in range(6):
        x, y = Batches(images, 6).batch(0, iteration)
        near = (x[:, None, None] - every[y]).abs().amax((3, 4, 5)) < 1e-5
        assert near.flatten(1).any(1).all()


def test_a_batch_is_float32_in_channels_last() -> None:
    for channels in (1, 3):
        x, y = Batches(made_up(channels, Augmentation(1, True, 2)), 4).batch(0, 0)
        assert x.shape == (4, channels, HEIGHT, WIDTH) and x.dtype == torch.float32 and y.dtype == torch.int64
        assert x.is_contiguous(memory_format=torch.channels_last)


def test_seed_and_iteration_alone_give_the_batch_to_the_bit() -> None:
    images = made_up(3, Augmentation(2, True, 2))
    once = [Batches(images, 5).batch(4, iteration) for iteration in range(8)]
    state, again = torch.get_rng_state(), Batches(images, 5)
    for iteration in (6, 0, 7, 3, 1, 2, 5, 4):
        x, y = again.batch(4, iteration)
        assert torch.equal(x, once[iteration][0]) and torch.equal(y, once[iteration][1])
    assert torch.equal(torch.get_rng_state(), state)


def test_another_seed_gives_another_order_and_other_crops_also_in_turns() -> None:
    images = made_up(3, Augmentation(2, True))
    whole, in_turns = Batches(images, COUNT), Batches(images, 5)
    assert whole.batch(0, 0)[1].tolist() != whole.batch(1, 0)[1].tolist()
    alike = Split(images.train.images[:1].repeat(COUNT, 1, 1, 1), images.train.labels)  # here the order does not show
    crops = Batches(images, COUNT, split=alike)
    assert not torch.equal(crops.batch(0, 0)[0], crops.batch(1, 0)[0])
    for seed in (0, 4, 0):
        assert torch.equal(in_turns.batch(seed, 0)[1], Batches(images, 5).batch(seed, 0)[1])


@pytest.mark.parametrize("batch_size", [1, 3, 5, COUNT])
def test_an_epoch_holds_no_sample_twice_and_each_if_batches_divide_it(batch_size: int) -> None:
    batches = Batches(made_up(), batch_size)
    assert batches.num_batches == COUNT // batch_size
    orders = []
    for epoch in range(3):
        iterations = range(epoch * batches.num_batches, (epoch + 1) * batches.num_batches)
        orders.append(torch.cat([batches.batch(0, iteration)[1] for iteration in iterations]).tolist())
        assert len(set(orders[-1])) == len(orders[-1]) == batches.num_batches * batch_size
    assert orders[0] != orders[1] != orders[2]


def test_random_batches_of_another_split_can_be_left_as_they_are() -> None:
    images = made_up(2, Augmentation(2, True, 2))
    x, y = Batches(images, 5, split=images.validation, augmentation=PLAIN).batch(0, 3)
    assert sorted(y.tolist()) == list(range(5))
    expected = [normalised(images, images.validation.images[number].numpy()) for number in y]
    torch.testing.assert_close(x, torch.stack(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, COUNT, 50])
def test_evaluation_sees_every_sample_once_in_order_without_augmentation(batch_size: int) -> None:
    images = made_up(3, Augmentation(2, True, 2))
    pieces = list(eval_batches(images, images.train, batch_size))
    assert [len(y) for _, y in pieces[:-1]] == [batch_size] * (len(pieces) - 1)
    assert torch.cat([y for _, y in pieces]).tolist() == list(range(COUNT))
    expected = torch.stack([normalised(images, image) for image in images.train.images.numpy()])
    torch.testing.assert_close(torch.cat([x for x, _ in pieces]), expected, rtol=0, atol=1e-5)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in pieces)


@pytest.mark.parametrize("batch_size", [-1, 0, COUNT + 1])
def test_a_batch_size_that_the_split_cannot_fill_is_refused(batch_size: int) -> None:
    with pytest.raises(UserError, match=rf"1\.\.{COUNT}.*{batch_size}"):
        Batches(made_up(), batch_size)


def test_the_test_split_is_read_when_asked_and_follows_the_others_to_their_device() -> None:
    images, read = made_up(), []

    def read_test() -> Split:
        read.append("test")
        return images.train

    counted = replace(images, read_test=read_test).to(torch.device("meta"))
    assert counted.input_shape == (2, HEIGHT, WIDTH) and read == []
    assert counted.train.images.device == counted.validation.labels.device == torch.device("meta")
    assert counted.test().images.device == counted.test().labels.device == torch.device("meta")
    assert read == ["test"] * 2


@pytest.mark.cuda
def test_a_gpu_makes_the_same_batches_without_waiting_for_the_host(gpu: torch.device) -> None:
    images = made_up(3, Augmentation(2, True, 2))
    there = Batches(images.to(gpu), 4)
    there.batch(0, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = [there.batch(0, iteration) for iteration in range(1, 9)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for iteration, (x, y) in enumerate(batches, start=1):
        expected_x, expected_y = Batches(images, 4).batch(0, iteration)
        torch.testing.assert_close(x.cpu(), expected_x, rtol=0, atol=1e-5)
        assert torch.equal(y.cpu(), expected_y)


# ---- a trial's share


def test_a_trial_has_a_random_share_of_training_and_validation_and_the_whole_test_split():
    images = made_up()
    part = images.scaled(0.5)
    assert (len(part.train), len(part.validation), len(part.test())) == (6, 2, COUNT)  # 2.5 is rounded to even
    assert torch.equal(part.train.images, images.train.images[part.train.labels])  # a label is its image's number
    assert len(set(part.train.labels.tolist())) == 6 and part.train.labels.tolist() != list(range(6))
    assert (part.mean, part.std) == (images.mean, images.std)
    assert torch.equal(part.train.labels, images.scaled(0.5).train.labels)


def test_the_smallest_trial_keeps_a_sample():
    part = made_up().scaled(1e-9)
    assert (len(part.train), len(part.validation)) == (1, 1)
