"""From CSV files to a task of texts: the split into training and validation, the vocabulary, the vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from nas.data.features import FeatureScale
from nas.data.stratified import lacking
from nas.data.texts.known_words import few_known, without_blanks
from nas.data.texts.samples import TextSplit
from nas.data.texts.text_csv import TextRows, read_csv
from nas.data.texts.texts import Texts
from nas.data.texts.vocabulary import Vocabulary
from nas.data.texts.word_vectors import read_vectors
from nas.tasks.hold_out import parts
from spaces.notation.errors import UserError

NUM_WORDS, VALIDATION, SPLIT_SEED = 30_000, 0.1, 0  # the defaults of the vocabulary's size and of what is held out


def texts(
    data_dir: Path,
    *,
    root: str,
    length: int = 256,
    num_words: int = NUM_WORDS,
    validation: float = VALIDATION,
    split_seed: int = SPLIT_SEED,
    embeddings: str | None = None,
    vocabulary: str | None = None,
    features: tuple[str, ...] | None = None,
) -> Texts:
    """Your own texts: `train.csv.gz`, `test.csv.gz` and, if you like, `validation.csv.gz` in the folder `root`, or .csv.

    A relative `root` is looked for in `data_dir`. The classes are the labels of train.csv.gz, words or whole numbers, at
    least two. `features` are further columns of all files, numbers that the side input of that name gives to a block.
    """
    return text_files(
        data_dir,
        root,
        None,
        length=length,
        num_words=num_words,
        validation=validation,
        split_seed=split_seed,
        embeddings=embeddings,
        vocabulary=vocabulary,
        features=features or (),
    )


def text_files(
    data_dir: Path,
    root: str,
    num_classes: int | None,
    *,
    length: int,
    num_words: int,
    validation: float,
    split_seed: int,
    embeddings: str | None,
    vocabulary: str | None,
    features: tuple[str, ...] = (),
) -> Texts:
    """The task in the folder `data_dir`/`root`; labels are 0..num_classes - 1, or any where that is None.

    Without a validation.csv.gz a share `validation` of train.csv.gz is held out, by `split_seed`. Of each text the first
    `length` tokens are kept. The vocabulary, of at most `num_words` ids, is learned from what is left for training, unless the
    file `vocabulary`, saved with a run, has it. Its vectors are read out of the file `embeddings`. Both files are looked for
    here and then in `data_dir`. Columns of `features` are brought to mean 0 and deviation 1 on what is left for training. Of
    test.csv.gz only the presence is checked until it is asked for. What is missing or damaged, a class without a text, a text
    without a token, settings of a hold-out beside a validation.csv.gz and num_words beside a vocabulary are UserErrors.
    """
    check_text_settings(length, num_words, vocabulary)
    files = {part: _file(Path(data_dir) / root, part) for part in ("train", "validation", "test")}
    pool = read_csv(files["train"], features)
    classes = _classes(pool, num_classes)
    labels = torch.tensor(pool.numbers(classes))
    if not files["test"].is_file():
        raise UserError(f"there is no {files['test']}; a text task needs it beside train.csv.gz")
    if files["validation"].is_file():
        if (validation, split_seed) != (VALIDATION, SPLIT_SEED):
            raise UserError(
                f"validation and split_seed hold out of {files['train']}, but there is {files['validation']}, so "
                "they have no effect; leave them out, or move that file away"
            )
        train, held_out = pool, read_csv(files["validation"], features)
        notes = lacking(str(files["validation"]), torch.tensor(held_out.numbers(classes)), labels, classes)
    else:
        drawn = parts(labels, validation=validation, split_seed=split_seed, names=classes)
        train, held_out, notes = pool.at(drawn.train.tolist()), pool.at(drawn.validation.tolist()), drawn.notes
    return text_task(
        train,
        held_out,
        partial(read_csv, files["test"], features),
        classes,
        data_dir,
        length=length,
        num_words=num_words,
        embeddings=embeddings,
        vocabulary=vocabulary,
        features=features,
        notes=notes,
    )


def check_text_settings(length: int, num_words: int, vocabulary: str | None) -> None:
    """Refuse a length of nothing, and the size of a vocabulary that is given."""
    if length < 1:
        raise UserError(f"length is how many tokens of a text are kept, from 1 on, got {length}")
    if vocabulary is not None and num_words != NUM_WORDS:
        raise UserError(
            f"num_words is the size of a vocabulary that is learned, got num_words={num_words} with "
            f"{vocabulary}; give one of them"
        )


def text_task(
    train: TextRows,
    held_out: TextRows,
    read_test: Callable[[], TextRows],
    classes: Sequence[str],
    data_dir: Path,
    *,
    length: int,
    num_words: int,
    embeddings: str | None,
    vocabulary: str | None,
    features: tuple[str, ...] = (),
    notes: Sequence[str] = (),
) -> Texts:
    """The task of these rows, whose labels are among the `classes`; its vocabulary, vectors and features as `text_files` says."""
    words = (
        Vocabulary.learned(train.tokens(length), num_words)
        if vocabulary is None
        else Vocabulary.read(_found(vocabulary, data_dir))
    )
    scale = FeatureScale.of(torch.tensor(train.features, dtype=torch.float64), features) if features else None
    encoded = partial(_encoded, classes=classes, length=length, vocabulary=words, scale=scale)
    data = Texts(
        encoded(train),
        encoded(held_out),
        partial(_read_encoded, read_test, encoded),
        len(classes),
        length,
        words,
        classes=tuple(classes),
        feature_scale=scale,
        split_notes=(*notes, *without_blanks(words)),
    )
    return _with_vectors(data, None if embeddings is None else _found(embeddings, data_dir))


def _file(folder: Path, part: str) -> Path:
    """The part's CSV file, gzipped or plain; both are a UserError."""
    gzipped, plain = (folder / f"{part}.{ending}" for ending in ("csv.gz", "csv"))
    if gzipped.exists() and plain.exists():
        raise UserError(f"there is one file of each part, but {gzipped} and {plain.name} beside it are there; move one away")
    return plain if plain.exists() else gzipped


def _found(path: str, data_dir: Path) -> Path:
    """The file of that name here, or else in `data_dir`."""
    return Path(path) if Path(path).is_file() else Path(data_dir) / path


def _classes(rows: TextRows, num_classes: int | None) -> tuple[str, ...]:
    found = rows.classes()
    if num_classes is None:
        if len(found) < 2:
            raise UserError(f"a task has at least 2 classes, but all labels of {rows.path} are {found[0]!r}; give others")
        return found
    classes = tuple(map(str, range(num_classes)))
    rows.numbers(classes)
    if found != classes:
        missing = next(label for label in classes if label not in found)
        raise UserError(f"{rows.path} has texts of {num_classes} classes, but none of class {missing}; get the whole file")
    return classes


def _with_vectors(data: Texts, path: Path | None) -> Texts:
    """With the vectors of the file, if there is one, and with what is to be said of words that are known to few."""
    notes, parts = list(data.split_notes), {"training": data.train, "validation": data.validation}
    if path is None:
        return replace(data, split_notes=(*notes, *few_known(parts)))
    vectors = read_vectors(path, data.vocabulary, notes.append)
    return replace(
        data, vectors=vectors.rows, coverage=vectors.coverage(data.train.tokens), split_notes=(*notes, *few_known(parts, vectors))
    )


def _read_encoded(read: Callable[[], TextRows], encoded: Callable[[TextRows], TextSplit]) -> TextSplit:
    return encoded(read())


def _encoded(
    rows: TextRows, *, classes: Sequence[str], length: int, vocabulary: Vocabulary, scale: FeatureScale | None
) -> TextSplit:
    features = None if scale is None else scale(torch.tensor(rows.features, dtype=torch.float64))
    return TextSplit.of(map(vocabulary.encoded, rows.tokens(length)), rows.numbers(classes), features)
