"""A user's own images: two .npz files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from nas.data.images.augmentation import Augmentation, Padding
from nas.data.images.images import Images
from nas.data.images.npz import read_npz
from nas.data.images.pixel_arrays import check_labels, check_pixels
from nas.data.images.samples import Split
from nas.tasks.hold_out import Constants, checked, hold_out
from spaces.notation.errors import UserError


def arrays(
    data_dir: Path,
    *,
    root: str,
    validation: float = 0.1,
    split_seed: int = 0,
    crop: int = 0,
    flip: bool = False,
    cutout: int = 0,
    padding: Padding = None,
    features: Literal[True] | None = None,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """Your own images: `train.npz` and `test.npz` in the folder `root`, each with the arrays `images` and `labels`.

    `images` is uint8 (N, H, W) or (N, H, W, C), `labels` whole numbers (N,); the classes are
    those of train.npz, 0..C-1, each present. A relative `root` is looked for in `data_dir`. Validation is taken out of
    train.npz; of test.npz only the presence is checked until it is asked for. `crop` and `cutout` in pixels, off here
    since nothing is known of the images. `features=True` also reads the array `features`, numbers (N, F), which the side
    input of that name gives to a block, at mean 0 and deviation 1 in training. A file that is missing, damaged or different
    is a UserError.
    """
    train, test = (Path(data_dir) / root / f"{part}.npz" for part in ("train", "test"))
    names = ("images", "labels", *(["features"] if features else []))
    images, labels, *numbers = _load(train, names)
    check_pixels(images, str(train))
    check_labels(labels, len(images), str(train))
    num_classes = _num_classes(labels, train)
    pool = _with_features(checked(images, labels, num_classes, str(train)), numbers, train)
    if not test.is_file():
        raise UserError(f"there is no {test}; the task arrays needs it beside train.npz")
    return hold_out(
        pool,
        num_classes,
        partial(_read_test, test, names, num_classes, _shapes(pool)),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )


def _read_test(path: Path, names: Sequence[str], num_classes: int, shapes: dict[str, torch.Size]) -> Split:
    images, labels, *numbers = _load(path, names)
    split = _with_features(checked(images, labels, num_classes, str(path)), numbers, path)
    for what, shape in _shapes(split).items():
        if shape != shapes[what]:
            raise UserError(
                f"the {what} of {path} are {tuple(shape)}, those of train.npz are {tuple(shapes[what])}; both files "
                "need the same shape"
            )
    return split


def _shapes(split: Split) -> dict[str, torch.Size]:
    """Of one sample: images (H, W, C), and features (F,) where there are any."""
    features = {} if split.features is None else {"features": split.features.shape[1:]}
    return {"images (H, W, C)": split.images.shape[1:]} | features


def _with_features(split: Split, numbers: Sequence[np.ndarray], path: Path) -> Split:
    """The split with its features, (N, F) finite numbers, where there are any."""
    for values in numbers:
        if values.dtype.kind not in "iuf" or values.ndim != 2 or len(values) != len(split) or not np.isfinite(values).all():
            raise UserError(
                f"features are finite numbers of shape ({len(split)}, F), a row an image, but {path} holds "
                f"{values.dtype} {values.shape}, or some that are not finite; convert them and save again"
            )
        split = replace(split, features=torch.from_numpy(values.astype(np.float64)))
    return split


def _load(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    if not path.is_file():
        given = ", ".join(f"{name}={name}" for name in names)
        raise UserError(f"there is no {path}; save it with numpy.savez({path.name!r}, {given})")
    return read_npz(path, names)


def _num_classes(labels: np.ndarray, path: Path) -> int:
    classes = np.unique(labels)
    if len(classes) < 2 or classes.tolist() != list(range(len(classes))):
        raise UserError(
            f"labels are 0..C-1 for C classes, at least 2 and each present, but {path} has {len(classes)} "
            f"distinct labels: {', '.join(map(str, classes[:10]))}{', ...' * (len(classes) > 10)}; "
            f"{_numbered(classes)}"
        )
    return len(classes)


def _numbered(classes: np.ndarray) -> str:
    """Words for a message: how to number classes from 0 on."""
    if len(classes) < 2:
        return "give samples of two classes at least"
    if classes[0] == 1 and classes[-1] == len(classes):
        return "save labels - 1 in both files"
    return "number the classes from 0 without gaps: numpy.searchsorted(numpy.unique(labels_for_training), labels) in both files"
