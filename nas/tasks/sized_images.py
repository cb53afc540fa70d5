"""From images of any size, not read yet, to a task: read once and kept in memory, or read while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from nas.data.images.augmentation import Augmentation, Padding
from nas.data.images.folder_samples import UnreadImages
from nas.data.images.images import Images
from nas.data.images.samples import Samples
from nas.tasks.hold_out import Constants, check_augmentation, mean_and_std, pixel_constants
from spaces.notation.errors import UserError

# Of ImageNet's training pixels, one a channel, as every recipe has them; round ones of grey images.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.5,), (0.25,)


def sized_images(
    train: UnreadImages,
    validation: UnreadImages,
    read_test: Callable[[], UnreadImages],
    classes: Sequence[str],
    *,
    crop: int | None,
    flip: bool,
    cutout: int,
    padding: Padding,
    mean: Constants,
    std: Constants,
    notes: Sequence[str] = (),
) -> Images:
    """The task of these images. With `crop`, which may be 0, they are read once, the middle of each scaled to the size, and
    windows are drawn as in cifar10; the constants are those of the training split. Without, they are read while training, a
    random window of each scaled to the size, as in imagenet, whose constants are taken; `padding` then has no effect, which is
    a UserError. The test split is read in its turn."""
    check_sizes(train.size, train.channels)
    if crop is None and padding is not None:
        raise UserError(f"padding is what lies around an image that crop pads, got padding={padding} without crop; give crop")
    augmentation = Augmentation(crop or 0, flip, cutout, padding, resized_crop=crop is None)
    check_augmentation(augmentation, train.size)
    parts: tuple[Samples, Samples] = (train, validation)
    if crop is None:
        known: tuple[tuple[float, ...], tuple[float, ...]] = (MEAN, STD) if train.channels == 3 else (GREY_MEAN, GREY_STD)
        test: Callable[[], Samples] = read_test
    else:
        in_memory = train.in_memory()
        parts, known = (in_memory, validation.in_memory()), mean_and_std(in_memory.images)
        test = partial(_in_memory, read_test)
    return Images(
        *parts,
        test,
        len(classes),
        *pixel_constants(known, mean, std),
        augmentation,
        classes=tuple(classes),
        split_notes=tuple(notes),
    )


def check_sizes(size: int, channels: int) -> None:
    """Refuse what no image is scaled to."""
    if size < 1:
        raise UserError(f"size is the side of a training image in pixels, from 1 on, got {size}; ImageNet's is 224")
    if channels not in (1, 3):
        raise UserError(f"channels is 3 for colour or 1 for grey, got {channels}; give one of these")


def _in_memory(read: Callable[[], UnreadImages]) -> Samples:
    return read().in_memory()
