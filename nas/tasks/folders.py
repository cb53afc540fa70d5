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
from nas.tasks.hold_out import Constants, parts
from nas.tasks.sized_images import check_sizes, sized_images
from spaces.notation.errors import UserError

VALIDATION, SPLIT_SEED = 0.1, 0
TEST_SEED = 0  # of a test split that is a share of the training folder, whatever split_seed is


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
    names = tuple(map(shown, classes))
    found = image_files(of_train, classes)
    pool = FolderSplit(of_train, found.files, torch.tensor(found.labels), size, channels=channels)
    notes, said = list(found.notes), []
    if isinstance(test, str):
        folder = _other(place, train, test, "test")
        check_same_classes(of_train, folder)
        notes += image_files(folder, classes).notes
        read_test = partial(_read, folder, classes, size, channels)
    else:
        drawn = parts(pool.labels, validation=_share("test", test), split_seed=TEST_SEED, names=names)
        read_test = partial(pool.at, drawn.validation)
        pool = pool.at(drawn.train)
        said.append(f"the test split is a share of {train}, the same for every split_seed")
    if isinstance(validation, str):
        if split_seed != SPLIT_SEED:
            raise UserError(
                f"split_seed draws a share for validation, got split_seed={split_seed} with the folder {validation}; leave it out"
            )
        folder = _other(place, train, validation, "validation")
        check_same_classes(of_train, folder)
        held_out, for_training = _read(folder, classes, size, channels), pool
        if isinstance(test, str) and os.path.realpath(folder) == os.path.realpath(place / test):
            said.append(f"validation and test are one folder, {test}: the test error is that of images which chose the weights")
        else:
            notes += image_files(folder, classes).notes
    else:
        drawn = parts(pool.labels, validation=_share("validation", validation), split_seed=split_seed, names=names)
        for_training, held_out = pool.at(drawn.train), pool.at(drawn.validation)
        said += drawn.notes
    return sized_images(
        for_training,
        held_out,
        read_test,
        names,
        crop=crop,
        flip=flip,
        cutout=cutout,
        padding=padding,
        mean=mean,
        std=std,
        notes=[*notes, *said],
    )


def _folder(root: Path, name: str, part: str) -> Path:
    """The folder of a split; a UserError that says what is there instead."""
    folder = root / name
    if not folder.is_dir():
        there = folders_in(root)
        what = f"the folders {listed(there)}" if there else "no folders" if root.is_dir() else "nothing, as it is missing"
        raise UserError(f"the split {part} is the folder {shown(name)} of {shown(root)}, got {what} there; name it by {part}=")
    return folder


def _other(root: Path, train: str, name: str, part: str) -> Path:
    folder = _folder(root, name, part)
    if os.path.realpath(folder) == os.path.realpath(root / train):
        raise UserError(f"{part} is another folder than train, or a share of it, got {part}={name}; give {part}=0.2, say")
    return folder


def _share(part: str, share: float) -> float:
    if not 0 < share < 1:
        raise UserError(f"{part} is a folder's name, or a share of train between 0 and 1, got {share}; try {part}=0.1")
    return share


def _read(folder: Path, classes: list[str], size: int, channels: int) -> FolderSplit:
    images = image_files(folder, classes)
    return FolderSplit(folder, images.files, torch.tensor(images.labels), size, channels=channels)
