"""ImageNet, and any other folders of images of any size: read while training, since they are too many for memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from nas.data.images.augmentation import Augmentation
from nas.data.images.folder_samples import FolderSplit
from nas.data.images.image_files import shown
from nas.data.images.images import Images
from nas.tasks.class_folders import check_same_classes, class_folders, image_files
from nas.tasks.hold_out import Constants, check_augmentation, parts, pixel_constants
from nas.tasks.sized_images import MEAN, STD, check_sizes


def imagenet(
    data_dir: Path,
    *,
    validation: float = 0.02,
    split_seed: int = 0,
    size: int = 224,
    flip: bool = True,
    cutout: int = 0,
    mean: Constants = None,
    std: Constants = None,
) -> Images:
    """ImageNet (Deng et al. 2009): 1,281,167 colour images of any size in 1,000 classes, and 50,000 for testing.

    Reads the images in `data_dir`/imagenet/train/CLASS, also in folders inside it, and, as the test split, in
    imagenet/val/CLASS; the classes are those that have a folder, so parts of ImageNet will do, and your own images. Files
    that are no images are left out, counted and said. Training cuts out a random window, scaled to `size` pixels
    a side, and flips; evaluation scales the shorter side to 256/224 of `size` and takes the middle. Worker processes, one a
    core, read the images a few batches ahead; a batch depends on seed and iteration alone. Pixels are normalised by the usual
    constants, or by `mean` and `std` as in cifar10. Images are read as a viewer shows them,
    where torchvision's `ImageFolder` leaves photographs as stored, unturned and in the colours of their profile. Missing folders
    and, when its turn comes, a damaged image are UserErrors.
    """
    check_sizes(size, 3)
    augmentation = Augmentation(flip=flip, cutout=cutout, resized_crop=True)
    check_augmentation(augmentation, size)
    train, test = (Path(data_dir) / "imagenet" / part for part in ("train", "val"))
    classes = class_folders(train)
    check_same_classes(train, test)
    images, notes = image_files(train, classes), image_files(test, classes).notes
    pool, names = FolderSplit(train, images.files, torch.tensor(images.labels), size), tuple(map(shown, classes))
    drawn = parts(pool.labels, validation=validation, split_seed=split_seed, names=names)
    return Images(
        pool.at(drawn.train),
        pool.at(drawn.validation),
        partial(_read_test, test, classes, size),
        len(classes),
        *pixel_constants((MEAN, STD), mean, std),
        augmentation,
        classes=names,
        split_notes=(*images.notes, *notes, *drawn.notes),
    )


def _read_test(folder: Path, classes: list[str], size: int) -> FolderSplit:
    images = image_files(folder, classes)
    return FolderSplit(folder, images.files, torch.tensor(images.labels), size)
