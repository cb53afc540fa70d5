"""From CSV files to a task of texts: the split into training and validation, the vocabulary, the vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nas.tasks.hold_out import parts
from nas.tasks.text_csv import TextRows, read_csv
from nas.text_split import TextSplit
from nas.texts import Texts
from nas.vocabulary import Vocabulary, tokenised
from nas.word_vectors import read_vectors
from spaces.errors import UserError

VALIDATION, SPLIT_SEED = 0.1, 0  # the defaults of what is held out


def texts(data_dir: Path, *, root: str, length: int = 256, num_words: int = 30_000, validation: float = VALIDATION,
          split_seed: int = SPLIT_SEED, embeddings: str | None = None) -> Texts:
    """Your own texts: `train.csv.gz`, `test.csv.gz` and, if you like, `validation.csv.gz` in the folder `root`.

    A relative `root` is looked for in `data_dir`. The classes are the labels of train.csv.gz, words or whole numbers, at
    least two. The settings are those of `text_files`.
    """
    return text_files(data_dir, root, None, length=length, num_words=num_words, validation=validation,
                      split_seed=split_seed, embeddings=embeddings)


def text_files(data_dir: Path, root: str, num_classes: int | None, *, length: int, num_words: int, validation: float,
               split_seed: int, embeddings: str | None) -> Texts:
    """The task in the folder `data_dir`/`root`; labels are 0..num_classes - 1, or any where that is None.

    Without a validation.csv.gz a share `validation` of train.csv.gz is held out, by `split_seed`. Of each text the first
    `length` tokens are kept. The vocabulary, of at most `num_words` ids, is learned from what is left for training. Its
    vectors are read out of the file `embeddings`, which is looked for here and then in `data_dir`. Of test.csv.gz only the
    presence is checked until it is asked for. What is missing or damaged, a class without a text, a text without a token and
    settings of a hold-out beside a validation.csv.gz are UserErrors.
    """
    if length < 1:
        raise UserError(f"length is how many tokens of a text are kept, from 1 on, but {length} came")
    files = {part: Path(data_dir) / root / f"{part}.csv.gz" for part in ("train", "validation", "test")}
    pool = read_csv(files["train"])
    classes = _classes(pool, num_classes)
    if not files["test"].is_file():
        raise UserError(f"there is no {files['test']}; a text task needs it beside train.csv.gz")
    if files["validation"].is_file():
        if (validation, split_seed) != (VALIDATION, SPLIT_SEED):
            raise UserError(f"validation and split_seed hold out of {files['train']}, but there is {files['validation']}, so "
                            "they have no effect; leave them out, or move that file away")
        train, held_out = pool, read_csv(files["validation"])
    else:
        split = parts(len(pool.texts), validation=validation, split_seed=split_seed)
        train, held_out = (pool.at(part.tolist()) for part in split)
    vocabulary = Vocabulary.learned(_tokenised(train, length), num_words)
    encoded = partial(_encoded, classes=classes, length=length, vocabulary=vocabulary)
    data = Texts(encoded(train), encoded(held_out), partial(_read_test, files["test"], encoded), len(classes), length, vocabulary,
                 classes=classes)
    return data if embeddings is None else _with_vectors(data, Path(embeddings), Path(data_dir))


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


def _with_vectors(data: Texts, path: Path, data_dir: Path) -> Texts:
    vectors = read_vectors(path if path.is_file() else data_dir / path, data.vocabulary)
    return replace(data, vectors=vectors.rows, coverage=vectors.coverage(data.train.tokens))


def _read_test(path: Path, encoded: Callable[[TextRows], TextSplit]) -> TextSplit:
    return encoded(read_csv(path))


def _encoded(rows: TextRows, *, classes: Sequence[str], length: int, vocabulary: Vocabulary) -> TextSplit:
    return TextSplit.of(map(vocabulary.encoded, _tokenised(rows, length)), rows.numbers(classes))


def _tokenised(rows: TextRows, length: int) -> Iterator[list[str]]:
    """The tokens of each text; a text without any is a UserError that names its line."""
    for row, text in enumerate(rows.texts):
        tokens = tokenised(text, length)
        if not tokens:
            raise rows.error(row, "the text is empty")
        yield tokens
