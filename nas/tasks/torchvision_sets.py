"""The data sets that torchvision reads, in torchvision's own folder layout."""

from __future__ import annotations

from functools import partial
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch

from nas.data.downloads import check_download
from nas.data.images.augmentation import Augmentation, Padding
from nas.data.images.images import Images
from nas.data.images.samples import Split
from nas.data.images.torchvision_import import torchvision
from nas.tasks.hold_out import Constants, checked, hold_out
from spaces.notation.errors import UserError

# What torchvision's readers raise on damaged files and without a network: they check with whatever fails first.
_READ_ERRORS = (OSError, HTTPException, RuntimeError, ValueError, TypeError, KeyError, AssertionError, EOFError)


def cifar10(
    data_dir: Path,
    *,
    validation: float = 0.1,
    split_seed: int = 0,
    crop: int = 2,
    flip: bool = True,
    cutout: int = 0,
    padding: Padding = None,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """CIFAR-10 (Krizhevsky 2009): 50,000 colour images of 32x32 in 10 classes, and 10,000 for testing.

    Reads `data_dir`/cifar-10-batches-py and downloads it where it is absent; without it and without a network, and for
    damaged files, a UserError. `crop=2` and flips as in SEDONA's code; most other papers pad by 4, InfoPro and ContSup
    with `padding=reflect`. Sizes in pixels. `mean` and `std`, of pixels in 0..1 and one a channel, are those of the training
    split unless given; DGL and Associated Learning's thesis have std=[0.2023,0.1994,0.201].
    """
    part = partial(_read, "CIFAR10", "cifar-10-batches-py", 10, Path(data_dir))
    return hold_out(
        part(train=True),
        10,
        partial(part, train=False),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )


def cifar100(
    data_dir: Path,
    *,
    validation: float = 0.1,
    split_seed: int = 0,
    crop: int = 2,
    flip: bool = True,
    cutout: int = 0,
    padding: Padding = None,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """CIFAR-100 (Krizhevsky 2009): as CIFAR-10 with 100 classes, in `data_dir`/cifar-100-python."""
    part = partial(_read, "CIFAR100", "cifar-100-python", 100, Path(data_dir))
    return hold_out(
        part(train=True),
        100,
        partial(part, train=False),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )


def fashion_mnist(
    data_dir: Path,
    *,
    validation: float = 0.1,
    split_seed: int = 0,
    crop: int = 2,
    flip: bool = True,
    cutout: int = 0,
    padding: Padding = None,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747): 60,000 grey images of 28x28 in 10 classes.

    10,000 more for testing; the four unpacked files lie in `data_dir`/FashionMNIST/raw; else as CIFAR-10.
    """
    part = partial(_read, "FashionMNIST", "FashionMNIST/raw", 10, Path(data_dir))
    return hold_out(
        part(train=True),
        10,
        partial(part, train=False),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )


def svhn(
    data_dir: Path,
    *,
    validation: float = 0.1,
    split_seed: int = 0,
    crop: int = 2,
    flip: bool = False,
    cutout: int = 0,
    padding: Padding = None,
    mean: Constants = None,
    std: Constants = None,
    extra: bool = False,
) -> Images:
    """Street View House Numbers (Netzer et al. 2011): 73,257 colour images of 32x32 in 10 classes, and 26,032 for testing.

    Reads train_32x32.mat and test_32x32.mat in `data_dir`, else as CIFAR-10. With `extra` the 531,131 easier images of
    extra_32x32.mat are among those for training and validation (PredSim). `crop=2` and no flips as in InfoPro and ContSup,
    which normalise by mean and std 0.5.

    extra  the easier images too
    """
    part = partial(_read, "SVHN", num_classes=10, data_dir=Path(data_dir))
    pool = part(place="train_32x32.mat", split="train")
    if extra:
        more = part(place="extra_32x32.mat", split="extra")
        pool = Split(torch.cat([pool.images, more.images]), torch.cat([pool.labels, more.labels]))
    return hold_out(
        pool,
        10,
        partial(part, place="test_32x32.mat", split="test"),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )


def stl10(
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
    """STL-10 (Coates et al. 2011): 5,000 labelled colour images of 96x96 in 10 classes, and 8,000 for testing.

    In `data_dir`/stl10_binary, else as CIFAR-10; the unlabelled images must be there and stay unread. `crop=4` and flips as in
    InfoPro and ContSup, which normalise by mean and std 0.5; their released code gives it a 100-class classifier by a typing
    error.
    """
    part = partial(_read, "STL10", "stl10_binary", 10, Path(data_dir))
    return hold_out(
        part(split="train"),
        10,
        partial(part, split="test"),
        validation=validation,
        split_seed=split_seed,
        augmentation=Augmentation(crop, flip, cutout, padding),
        mean=mean,
        std=std,
    )


def _read(kind: str, place: str, num_classes: int, data_dir: Path, **part: bool | str) -> Split:
    """A part of torchvision's data set of that name, which lies at `data_dir`/`place`, a folder or a file."""
    dataset_class, source = getattr(torchvision().datasets, kind), data_dir / place
    absent = not source.exists() or (source.is_dir() and not any(source.iterdir()))
    if absent:
        check_download(str(source))
    try:
        dataset = dataset_class(data_dir, download=absent, **part)
    except _READ_ERRORS as error:
        raise UserError(
            f"there is no {source} and torchvision cannot download it ({error!r}); put the files there, or give the "
            "folder that holds them"
            if absent
            else f"{source} is incomplete or damaged ({error!r}); put the original files there, or remove it to have it "
            "downloaded"
        ) from None
    if "split" in part:  # torchvision has two families: these are (N, C, H, W), and their targets are called labels
        return checked(dataset.data.transpose(0, 2, 3, 1), dataset.labels, num_classes, str(source))
    return checked(np.asarray(dataset.data), np.asarray(dataset.targets), num_classes, str(source))
