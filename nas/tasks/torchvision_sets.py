"""The data sets that torchvision reads, in torchvision's own folder layout."""

from __future__ import annotations

from functools import partial
from http.client import HTTPException
from pathlib import Path

import numpy as np

from nas.images import Augmentation, Images, Split
from nas.tasks.hold_out import checked, hold_out
from nas.torchvision_import import torchvision
from spaces.errors import UserError

_SETS = {  # torchvision's class: its folder, its number of classes
    "CIFAR10": ("cifar-10-batches-py", 10),
    "CIFAR100": ("cifar-100-python", 100),
    "FashionMNIST": ("FashionMNIST/raw", 10),
}
# What torchvision's readers raise on damaged files and without a network: they check with whatever fails first.
_READ_ERRORS = (OSError, HTTPException, RuntimeError, ValueError, TypeError, KeyError, AssertionError, EOFError)


def cifar10(data_dir: Path, *, validation: float = 0.1, split_seed: int = 0, crop: int = 2, flip: bool = True,
            cutout: int = 0) -> Images:
    """CIFAR-10 (Krizhevsky 2009): 50,000 colour images of 32x32 in 10 classes, and 10,000 for testing.

    Reads `data_dir`/cifar-10-batches-py and downloads it where it is absent; without it and without a network, and for
    damaged files, a UserError. `crop=2` and flips as in SEDONA's code; most other papers pad by 4. Sizes in pixels.
    """
    return _task("CIFAR10", data_dir, validation, split_seed, Augmentation(crop, flip, cutout))


def cifar100(data_dir: Path, *, validation: float = 0.1, split_seed: int = 0, crop: int = 2, flip: bool = True,
             cutout: int = 0) -> Images:
    """CIFAR-100 (Krizhevsky 2009): as CIFAR-10 with 100 classes, in `data_dir`/cifar-100-python."""
    return _task("CIFAR100", data_dir, validation, split_seed, Augmentation(crop, flip, cutout))


def fashion_mnist(data_dir: Path, *, validation: float = 0.1, split_seed: int = 0, crop: int = 2, flip: bool = True,
                  cutout: int = 0) -> Images:
    """Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747): 60,000 grey images of 28x28 in 10 classes.

    10,000 more for testing; the four unpacked files lie in `data_dir`/FashionMNIST/raw; else as CIFAR-10.
    """
    return _task("FashionMNIST", data_dir, validation, split_seed, Augmentation(crop, flip, cutout))


def _task(name: str, data_dir: Path, validation: float, split_seed: int, augmentation: Augmentation) -> Images:
    read = partial(_read, name, Path(data_dir))
    _, num_classes = _SETS[name]
    return hold_out(read(True), num_classes, partial(read, False), validation=validation, split_seed=split_seed,
                    augmentation=augmentation)


def _read(name: str, data_dir: Path, train: bool) -> Split:
    dataset_class = getattr(torchvision().datasets, name)
    subfolder, num_classes = _SETS[name]
    folder = data_dir / subfolder
    absent = not folder.is_dir() or not any(folder.iterdir())
    try:
        dataset = dataset_class(data_dir, train=train, download=absent)
    except _READ_ERRORS as error:
        raise UserError(
            f"there is no {folder} and torchvision cannot download it ({error!r}); put the files there, or give the "
            "folder that holds them" if absent else
            f"{folder} is incomplete or damaged ({error!r}); put the original files there, or remove the folder to "
            "have it downloaded"
        ) from None
    return checked(np.asarray(dataset.data), np.asarray(dataset.targets), num_classes, str(folder))
