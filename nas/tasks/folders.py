"""A user's own folders of images, whatever their splits are called."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch

from nas.data.images.augmentation import Padding
from nas.data.images.folder_samples import FolderSplit
from nas.data.images.image_files import folders_in, listed, shown
from nas.data.images.images import Images
from nas.tasks.class_folders import check_same_classes, class_folders, image_files
from nas.tasks.hold_out import Constants
from nas.tasks.named_splits import SPLIT_SEED, VALIDATION, named_splits
from nas.tasks.sized_images import check_sizes, sized_images
from spaces.notation.errors import UserError


def folders(
    data_dir: Path,
    *,
    root: str,
    train: str = "train",
    validation: float | str = VALIDATION,
    test: float | str = "test",
    split_seed: int = SPLIT_SEED,
    size: int = 224,
    channels: int = 3,
    crop: int | None = None,
    flip: bool = True,
    cutout: int = 0,
    padding: Padding = None,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """Your own images: the folder `root`, with a folder a split that holds a folder of images a class.

    `train`, `validation` and `test` name the splits' folders, '.' the root itself; `validation` and `test` may each be a share of
    train instead, drawn by `split_seed` and, for the test, always the same. The classes are the folders of train; the splits have
    the same. Images of any size become `size` pixels a side, with 3 `channels` or 1. Without `crop` they are read while training,
    a random window of each, as in imagenet; with `crop`, in pixels, they are read once and kept in memory, and windows are drawn
    as in cifar10. A relative `root` is looked for in `data_dir`. What is missing, damaged or different is a UserError.
    """
    check_sizes(size, channels)
    place = Path(data_dir) / root
    of_train = _folder(place, train, "train")
    classes = class_folders(of_train)
    found, names = image_files(of_train, classes), tuple(map(shown, classes))
    pool = FolderSplit(of_train, found.files, torch.tensor(found.labels), size, channels=channels)
    read = partial(_read, place, classes, size, channels)
    splits = named_splits(
        pool, read, partial(_check, place, train), names, train=train, validation=validation, test=test, split_seed=split_seed
    )
    others = dict.fromkeys(name for name in (validation, test) if isinstance(name, str))
    left_out = [note for name in others for note in image_files(place / name, classes).notes]
    return sized_images(
        splits.train,
        splits.validation,
        splits.read_test,
        names,
        crop=crop,
        flip=flip,
        cutout=cutout,
        padding=padding,
        mean=mean,
        std=std,
        notes=(*found.notes, *left_out, *splits.notes),
    )


def _folder(root: Path, name: str, part: str) -> Path:
    """The folder of a split; a UserError that says what is there instead."""
    folder = root / name
    if not folder.is_dir():
        there = folders_in(root)
        what = f"the folders {listed(there)}" if there else "no folders" if root.is_dir() else "nothing, as it is missing"
        raise UserError(f"the split {part} is the folder {shown(name)} of {shown(root)}, got {what} there; name it by {part}=")
    return folder


def _check(root: Path, train: str, name: str, part: str) -> str:
    """The real path of a split's folder, which has to have the classes of train's."""
    folder = _folder(root, name, part)
    check_same_classes(root / train, folder)
    return os.path.realpath(folder)


def _read(root: Path, classes: list[str], size: int, channels: int, name: str, part: str) -> FolderSplit:
    images = image_files(root / name, classes)
    return FolderSplit(root / name, images.files, torch.tensor(images.labels), size, channels=channels)
