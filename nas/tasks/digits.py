"""scikit-learn's handwritten digits, which need no download."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from nas.data.images.augmentation import Augmentation, Padding
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.tasks.hold_out import Constants, checked, hold_out


def digits(
    data_dir: Path,
    *,
    validation: float = 0.1,
    split_seed: int = 0,
    crop: int = 1,
    flip: bool = False,
    cutout: int = 0,
    padding: Padding = None,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """Handwritten digits, 8x8 grey, 10 classes: 1437 for training and validation, 360 for testing.

    They come with scikit-learn (`load_digits`), so `data_dir` is not read. They have no official test split: the test
    split is a stratified 20 % drawn with scikit-learn's `train_test_split(random_state=0)`, whatever `split_seed` is.
    Pixels 0..16 become 0..255. `crop` and `cutout` in pixels.
    """
    return hold_out(
        _read("train"),
        10,
        partial(_read, "test"),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )


def _read(part: str) -> Split:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    train, test = train_test_split(np.arange(len(data.target)), test_size=0.2, stratify=data.target, random_state=0)
    rows = test if part == "test" else train
    pixels = np.rint(data.images[rows] * (255 / 16)).astype(np.uint8)
    return checked(pixels, data.target[rows], 10, "load_digits")
