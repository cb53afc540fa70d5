"""Tiny ImageNet, read into memory once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from nas.data.images.augmentation import Augmentation, Padding
from nas.data.images.folder_samples import gathered, in_parallel, read_plain
from nas.data.images.image_files import shown
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.tasks.class_folders import class_folders, image_files
from nas.tasks.hold_out import Constants, checked, hold_out
from spaces.notation.errors import UserError

NUM_CLASSES, SIDE = 200, 64


def tiny_imagenet(
    data_dir: Path,
    *,
    validation: float = 0.1,
    split_seed: int = 0,
    crop: int = 4,
    flip: bool = True,
    cutout: int = 0,
    padding: Padding = None,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """Tiny ImageNet (CS231n 2015): 100,000 colour images of 64x64 in 200 classes, and 10,000 for testing.

    Reads `data_dir`/tiny-imagenet-200: train/CLASS/images/*.JPEG and, as the test split, val/images with
    val_annotations.txt, since the labels of the official test images were not published. The images are decoded by worker
    processes, one a core, into 1.2 GB. Papers differ in augmentation: `crop=4` and flips are ours. What is missing or
    damaged is a UserError.
    """
    root = Path(data_dir) / "tiny-imagenet-200"
    classes = class_folders(root / "train")
    if len(classes) != NUM_CLASSES:
        raise UserError(
            f"{root / 'train'} holds the folders of {NUM_CLASSES} classes, but {len(classes)} are there; unpack the "
            "original archive again"
        )
    images = image_files(root / "train", classes, "images")
    pool = _read(root / "train", images.files, images.labels)
    data = hold_out(
        pool,
        NUM_CLASSES,
        partial(_read_test, root / "val", classes),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )
    return replace(data, classes=tuple(map(shown, classes)), split_notes=(*images.notes, *data.split_notes))


def _read(folder: Path, files: Sequence[str], labels: Sequence[int]) -> Split:
    pixels = gathered(in_parallel(read_plain, [folder / file for file in files], SIDE))
    return checked(pixels, np.asarray(labels), NUM_CLASSES, str(folder))


def _read_test(folder: Path, classes: list[str]) -> Split:
    """The lines of val_annotations.txt say file, class and a box that is not used."""
    annotations = folder / "val_annotations.txt"
    numbers = {name: number for number, name in enumerate(classes)}
    try:
        rows = [line.split("\t") for line in annotations.read_text(encoding="utf-8").splitlines()]
        files, labels = [row[0] for row in rows], [numbers[row[1]] for row in rows]
    except (OSError, UnicodeDecodeError, KeyError, IndexError) as error:
        raise UserError(
            f"{annotations} is missing or damaged ({error!r}); its lines begin with a file, a tab and one of the "
            "classes of the training folder; unpack the original archive again"
        ) from None
    if not files:
        raise UserError(f"{annotations} names no image; unpack the original archive again")
    return _read(folder / "images", files, labels)
