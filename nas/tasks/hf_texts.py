"""Texts of a Hugging Face data set."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from nas.data.hugging_face.columns import Labels, feature_columns, read_labels, text_column
from nas.data.hugging_face.table_texts import TableRows, TableTexts
from nas.data.hugging_face.tables import Tables
from nas.data.texts.texts import Texts
from nas.tasks.named_splits import SPLIT_SEED, VALIDATION, named_splits
from nas.tasks.text_files import NUM_WORDS, check_text_settings, text_task


def hf_texts(
    data_dir: Path,
    *,
    name: str,
    config: str | None = None,
    revision: str | None = None,
    text: str | None = None,
    label: str | None = None,
    train: str = "train",
    validation: float | str = VALIDATION,
    test: float | str = "test",
    split_seed: int = SPLIT_SEED,
    length: int = 256,
    num_words: int = NUM_WORDS,
    embeddings: str | None = None,
    vocabulary: str | None = None,
    features: tuple[str, ...] | None = None,
) -> Texts:
    """Texts of a Hugging Face data set: `name` on the hub, or a folder or file here or in `data_dir`.

    `text`, `label` and `features` name columns, the first two are found where there is one; the other settings are those of
    hf_images and of texts. Needs the extra `datasets`; no script that comes with a data set is run. What is missing or damaged is
    a UserError.

    text  the column of texts; None where there is one such column
    """
    check_text_settings(length, num_words, vocabulary)
    tables = Tables.read(name, data_dir, config, revision)
    tables.check(train, "train")
    labels = read_labels(tables, label, train)
    column, beside = text_column(tables, text, labels.column), feature_columns(tables, features or ())
    read = partial(_read, tables, column, labels, beside)
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
    return text_task(
        splits.train.rows,
        splits.validation.rows,
        partial(_rows, splits.read_test),
        labels.classes,
        data_dir,
        length=length,
        num_words=num_words,
        embeddings=embeddings,
        vocabulary=vocabulary,
        features=beside,
        notes=splits.notes,
    )


def _read(tables: Tables, column: str, labels: Labels, features: tuple[str, ...], split: str, part: str) -> TableTexts:
    return TableTexts.of(tables, split, part, column, labels, features)


def _rows(read: Callable[[], TableTexts]) -> TableRows:
    return read().rows
