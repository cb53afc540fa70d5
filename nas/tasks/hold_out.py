"""From arrays to a task: the checks, the split into training and validation, the constants of the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from nas.data.features import FeatureScale
from nas.data.images.augmentation import Augmentation
from nas.data.images.images import Images
from nas.data.images.pixel_arrays import check_labels, check_pixels
from nas.data.images.samples import Split
from nas.data.stratified import complete, lacking
from spaces.notation.errors import UserError

Constants = tuple[float, ...] | None  # of pixels in 0..1, one a channel; None for those of the training split


def checked(images: np.ndarray, labels: np.ndarray, num_classes: int, source: str) -> Split:
    """The arrays as a split: images uint8 (N, H, W) or (N, H, W, C) and labels (N,) in 0..num_classes - 1.

    Anything else is a UserError that names `source`, where the arrays came from.
    """
    check_pixels(images, source)
    check_labels(labels, len(images), source)
    if labels.min() < 0 or labels.max() >= num_classes:
        raise UserError(
            f"labels lie in 0..{num_classes - 1}, but those of {source} go from {labels.min()} to "
            f"{labels.max()}; number the classes from 0 and save again"
        )
    pixels = torch.from_numpy(np.ascontiguousarray(images)).view(*images.shape[:3], -1)
    return Split(pixels, torch.from_numpy(labels.astype(np.int64)))


def hold_out(
    pool: Split,
    num_classes: int,
    read_test: Callable[[], Split],
    *,
    validation: float,
    split_seed: int,
    augmentation: Augmentation,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """Split `pool` as `parts` says; features are standardised by those of training. Pixels are normalised by `mean` and `std`,
    or by those of the training split. An augmentation or constants that do not fit the images are a UserError."""
    drawn = parts(pool.labels, validation=validation, split_seed=split_seed)
    train, held_out = pool.at(drawn.train), pool.at(drawn.validation)
    check_augmentation(augmentation, min(pool.image_shape[:2]))
    mean, std = pixel_constants(mean_and_std(train.images), mean, std)
    scale = None if train.features is None else FeatureScale.of(train.features)
    if scale is not None:
        train, held_out = (_standardised(split, scale) for split in (train, held_out))
        read_test = partial(_read_standardised, read_test, scale)
    return Images(train, held_out, read_test, num_classes, mean, std, augmentation, feature_scale=scale, split_notes=drawn.notes)


def _read_standardised(read: Callable[[], Split], scale: FeatureScale) -> Split:
    return _standardised(read(), scale)


def _standardised(split: Split, scale: FeatureScale) -> Split:
    assert split.features is not None, "all parts of a task have features, or none"
    return replace(split, features=scale(split.features))


class HoldOut(NamedTuple):
    """The places of the samples for training and for validation, and what to say of them, a line each."""

    train: torch.Tensor
    validation: torch.Tensor
    notes: tuple[str, ...]


def parts(labels: torch.Tensor, *, validation: float, split_seed: int, names: Sequence[str] | None = None) -> HoldOut:
    """Samples of these labels, int64 (N,), in a permutation drawn from `split_seed`: its first part is held out.

    The share `validation` is rounded to whole samples. Where that leaves a class without a sample in one of the parts, the split
    is stratified instead; a class of one sample is in training, and what is left out all the same is told, by the classes'
    `names`. A share that leaves a part empty and a negative seed are UserErrors.
    """
    num_samples = len(labels)
    num_validation = round(validation * num_samples) if 0 < validation < 1 else 0
    if not 1 <= num_validation < num_samples:
        raise UserError(
            f"validation is a share between 0 and 1 that leaves a sample on both sides, got {validation} "
            f"of {num_samples} samples; try validation=0.1"
        )
    if split_seed < 0:
        raise UserError(f"split_seed is a whole number from 0 on, got {split_seed}")
    plain = np.random.default_rng(split_seed).permutation(num_samples)
    order = complete(plain, labels.numpy(), num_validation, rest=True)
    held_out, train = torch.from_numpy(order).tensor_split([num_validation])
    notes = () if order is plain else ("training and validation are split class by class, as a plain draw leaves classes out",)
    return HoldOut(
        train,
        held_out,
        (*notes, *lacking("training", labels[train], labels, names), *lacking("validation", labels[held_out], labels, names)),
    )


def pixel_constants(
    own: tuple[tuple[float, ...], tuple[float, ...]], mean: Constants, std: Constants
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the std that were given, and what is `own` to the data for one that was not; a UserError unless they are one a
    channel, of pixels in 0..1."""
    for name, given in (("mean", mean), ("std", std)):
        if given is not None and len(given) != len(own[0]):
            raise UserError(f"{name} is a list of {len(own[0])} numbers here, one a channel, got {len(given)}")
    if mean is not None and not all(0 <= value <= 1 for value in mean):
        raise UserError(f"mean is that of pixels scaled to 0..1, got {list(mean)}; divide numbers of 0..255 by 255")
    if std is not None and not all(0 < value <= 1 for value in std):
        raise UserError(f"std is that of pixels scaled to 0..1, above 0, got {list(std)}; divide numbers of 0..255 by 255")
    return own[0] if mean is None else mean, own[1] if std is None else std


def check_augmentation(augmentation: Augmentation, side: int) -> None:
    if not 0 <= augmentation.crop < side:
        raise UserError(
            f"crop pads by 0..{side - 1} pixels where the shorter side has {side}, got {augmentation.crop}; 0 crops nothing"
        )
    if not 0 <= augmentation.cutout <= side:
        raise UserError(
            f"cutout is the side of a square in 0..{side} pixels where the shorter side has {side}, got "
            f"{augmentation.cutout}; 0 cuts nothing out"
        )


def mean_and_std(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of uint8 (N, H, W, C) scaled to 0..1, one a channel, exact from counts; a constant channel is given std 1."""
    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in images.unbind(-1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean.append(float(share @ values))
        std.append(float(share @ (values - mean[-1]).square()) ** 0.5 or 1.0)
    return tuple(mean), tuple(std)
