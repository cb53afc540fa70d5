"""Images of a Hugging Face data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from nas.data.hugging_face.columns import Labels, image_column, label_numbers, read_labels
from nas.data.hugging_face.table_images import TableImages
from nas.data.hugging_face.tables import Tables
from nas.data.images.augmentation import Padding
from nas.data.images.images import Images
from nas.tasks.hold_out import Constants
from nas.tasks.named_splits import SPLIT_SEED, VALIDATION, named_splits
from nas.tasks.sized_images import check_sizes, sized_images


def hf_images(
    data_dir: Path,
    *,
    name: str,
    config: str | None = None,
    revision: str | None = None,
    image: str | None = None,
    label: str | None = None,
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
    """Images of a Hugging Face data set: `name` on the hub, or a folder or file here or in `data_dir`.

    A folder is one that `save_to_disk` wrote, or holds Parquet, CSV or JSON files or images; `config` and `revision` are those of
    the hub. `image` and `label` name columns, which are found where there is one. The classes are as the data set names them.
    `train`, `validation` and `test` name splits, the last two may be shares of train, and all else is as in folders. Needs the
    extra `datasets`; no script that comes with a data set is run. What is missing or damaged is a UserError.

    image  the column of images; None where there is one such column
    """
    check_sizes(size, channels)
    tables = Tables.read(name, data_dir, config, revision)
    tables.check(train, "train")
    column, labels = image_column(tables, image), read_labels(tables, label, train)
    read = partial(_read, tables, column, labels, size, channels)
    splits = named_splits(
        read(train, "train"),
        read,
        tables.check,
        labels.classes,
        train=train,
        validation=validation,
        test=test,
        split_seed=split_seed,
    )
    return sized_images(
        splits.train,
        splits.validation,
        splits.read_test,
        labels.classes,
        crop=crop,
        flip=flip,
        cutout=cutout,
        padding=padding,
        mean=mean,
        std=std,
        notes=splits.notes,
    )


def _read(tables: Tables, column: str, labels: Labels, size: int, channels: int, split: str, part: str) -> TableImages:
    table, numbers = tables.table(split, part), label_numbers(tables, split, part, labels)
    return TableImages.of(table, column, f"the split {split} of {tables.name}", numbers, size, channels)
