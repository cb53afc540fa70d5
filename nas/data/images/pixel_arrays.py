"""What an array of images has to be, told so that it can be mended."""

from __future__ import annotations

import numpy as np

from spaces.notation.errors import UserError


def check_pixels(images: np.ndarray, source: str) -> None:
    """uint8 of shape (N, H, W) or (N, H, W, C), none of these 0 and C not in front; else a UserError that names `source`."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"images are uint8 of shape (N, H, W) or (N, H, W, C), none of these 0, but {source} holds "
            f"{str(images.dtype)[:40]} {images.shape}; {_to_uint8(images)}"
        )
    if channels_first(images.shape):
        raise UserError(
            f"images have their channels last, (N, H, W, C), but those of {source} are {images.shape}, which looks "
            "channels-first; save images.transpose(0, 2, 3, 1)"
        )


def channels_first(shape: tuple[int, ...]) -> bool:
    """Whether (N, A, B, C) is rather (N, C, H, W): one to four rows of more columns and channels than that are no image.

    Where the last axis may be channels, too, only squares are taken for that.
    """
    if len(shape) != 4:
        return False
    _, channels, height, width = shape
    return channels <= 4 and height > channels and width > channels and (width > 4 or height == width)


def _to_uint8(images: np.ndarray) -> str:
    """Words for a message: how to turn such an array into uint8."""
    kind = images.dtype.kind
    if images.ndim not in (3, 4) or 0 in images.shape or kind not in "fiub":
        return "convert them and save again"
    if kind == "b":
        return "save images.astype(numpy.uint8) * 255"
    low, high = float(images.min()), float(images.max())
    if kind == "f" and low >= 0 and high <= 1:
        return "save numpy.rint(images * 255).astype(numpy.uint8)"
    if low >= 0 and high <= 255:
        return f"save {'numpy.rint(images)' if kind == 'f' else 'images'}.astype(numpy.uint8)"
    if images.dtype == np.uint16:
        return "save (images >> 8).astype(numpy.uint8), or scale them if they do not fill 16 bits"
    return f"they go from {low:.4g} to {high:.4g}: scale them to 0..255, round, and save them as uint8"


def check_labels(labels: np.ndarray, num_images: int, source: str) -> None:
    """Whole numbers of shape (num_images,); else a UserError that names `source`."""
    if labels.dtype.kind not in "iu" or labels.shape != (num_images,):
        raise UserError(
            f"labels are whole numbers of shape ({num_images},), one an image, but {source} holds "
            f"{str(labels.dtype)[:40]} {labels.shape}; {_to_classes(labels, num_images)}"
        )


def _to_classes(labels: np.ndarray, num_images: int) -> str:
    """Words for a message: how to turn such labels into classes."""
    if labels.ndim == 2 and len(labels) == num_images:
        if labels.shape[1] == 1:
            return "save labels[:, 0]"
        if labels.dtype.kind in "iufb" and ((labels != 0).sum(1) == 1).all():
            return "save labels.argmax(1), the place of the one in each row"
    if labels.shape != (num_images,):
        return "save one an image"
    if labels.dtype.kind == "b" or (labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all()):
        return "save labels.astype(numpy.int64)"
    if labels.dtype.kind in "US":
        return (
            "number the words 0..C-1, alike in both files: labels = numpy.searchsorted(numpy.unique(words_for_training), words)"
        )
    return "number the classes from 0"
