"""A user's own images: two .npz files."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from nas.augmentation import Augmentation, Padding
from nas.images import Images
from nas.split import Split
from nas.tasks.hold_out import checked, hold_out
from spaces.errors import UserError

# What numpy.load and the zip reader below it raise on a damaged or foreign file.
_READ_ERRORS = (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile,
                zlib.error)


def arrays(data_dir: Path, *, root: str, validation: float = 0.1, split_seed: int = 0, crop: int = 0,
           flip: bool = False, cutout: int = 0, padding: Padding = None) -> Images:
    """Your own images: `train.npz` and `test.npz` in the folder `root`, each with the arrays `images` and `labels`.

    `images` is uint8 (N, H, W) or (N, H, W, C), `labels` whole numbers (N,); the classes are
    those of train.npz, 0..C-1, each present. A relative `root` is looked for in `data_dir`. Validation is taken out of
    train.npz; of test.npz only the presence is checked until it is asked for. `crop` and `cutout` in pixels, off here
    since nothing is known of the images. A file that is missing, damaged or different is a UserError.
    """
    train, test = (Path(data_dir) / root / f"{part}.npz" for part in ("train", "test"))
    images, labels = _load(train)
    num_classes = _num_classes(labels, train)
    pool = checked(images, labels, num_classes, str(train))
    if not test.is_file():
        raise UserError(f"there is no {test}; the task arrays needs it beside train.npz")
    return hold_out(pool, num_classes, partial(_read_test, test, num_classes, tuple(pool.images.shape[1:])),
                    validation=validation, split_seed=split_seed, augmentation=Augmentation(crop, flip, cutout, padding))


def _read_test(path: Path, num_classes: int, shape: tuple[int, ...]) -> Split:
    split = checked(*_load(path), num_classes, str(path))
    if split.images.shape[1:] != shape:
        raise UserError(f"the images of {path} are {tuple(split.images.shape[1:])} (H, W, C), those of train.npz are "
                        f"{shape}; both files need the same shape")
    return split


def _load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise UserError(f"there is no {path}; save it with numpy.savez({path.name!r}, images=images, labels=labels)")
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["images"], file["labels"]
    except _READ_ERRORS as error:
        raise UserError(f"{path} is not an .npz file with the arrays images and labels, or it is damaged ({error!r}); "
                        "write it again with numpy.savez") from None


def _num_classes(labels: np.ndarray, path: Path) -> int:
    classes = np.unique(labels)
    if len(classes) < 2 or classes.tolist() != list(range(len(classes))):
        raise UserError(f"labels are 0..C-1 for C classes, at least 2 and each present, but {path} has {len(classes)} "
                        f"distinct labels: {', '.join(map(str, classes[:10]))}{', ...' * (len(classes) > 10)}; "
                        "number the classes from 0 without gaps")
    return len(classes)
