"""Word vectors from the text files that GloVe and fastText publish."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nas.data.opened import opened
from nas.data.texts.tokens import normalised
from nas.data.texts.vocabulary import Vocabulary
from spaces.activation import PADDING, UNKNOWN
from spaces.notation.errors import UserError

_COUNT = 100  # numbers of vectors are seldom larger


class Coverage(NamedTuple):
    """How much a file of word vectors knows: its shares of the vocabulary's words and of the training split's tokens."""

    words: float
    tokens: float


class WordVectors(NamedTuple):
    """Row i is the vector of the word with id i.

    rows   float32 (num_words, D); a word that the file lacks, and the unknown word, have random rows, padding zeros
    known  bool (num_words,): which words the file has
    """

    rows: torch.Tensor
    known: torch.Tensor

    def coverage(self, tokens: torch.Tensor) -> Coverage:
        """Of the vocabulary that the vectors were read for, and of these ids, int (num_tokens,), padding aside."""
        words, tokens = self.known[UNKNOWN + 1 :], self.known[tokens[tokens != PADDING].long()]
        return Coverage(float(words.double().mean()), float(tokens.double().mean()))


def read_vectors(path: Path, vocabulary: Vocabulary, tell: Callable[[str], object] = lambda note: None) -> WordVectors:
    """The vectors of the vocabulary's words out of a text file, gzipped or not, of which no other line is kept.

    A line is a word and its D numbers, separated by blanks or tabs; fastText's first line, the number of words and D, may be
    there, and `tell` is told if other than so many follow, and of what else looks amiss. Words are compared in their normal
    form; of one that comes twice the first vector counts. Random rows are normal with the mean and the deviation of all
    numbers found, the same at every call. A file that is missing, binary, torn, damaged (by line number), or without any of
    the words is a UserError.
    """
    if not path.is_file():
        raise UserError(f"there is no file of word vectors {path}; give one of GloVe's or fastText's text files")
    found: dict[int, np.ndarray] = {}
    for number, word, numbers in _lines(path, tell):
        place = vocabulary.ids.get(normalised(word))
        if place is not None and place not in found:
            found[place] = _vector(numbers, f"{path}, line {number}")
    if not found:
        raise UserError(
            f"{path} has none of the {len(vocabulary.words)} words of the vocabulary; give the vectors of its "
            "language, words in lower case"
        )
    places, values = np.array(list(found)), np.stack(list(found.values()))
    whole = (values == values.round()).all(0)
    if whole.any() and not whole.all() and np.abs(values[:, whole]).max() > _COUNT:
        tell(
            f"warning: number {whole.argmax() + 1} of each vector in {path} is whole, up to {values[:, whole].max():.0f}: if it "
            "counts the word, take that column out"
        )
    random = np.random.default_rng(0)
    rows = random.normal(values.mean(), values.std(), (len(vocabulary), values.shape[1])).astype(np.float32)
    rows[PADDING] = 0
    rows[places] = values
    known = np.zeros(len(vocabulary), dtype=bool)
    known[places] = True
    return WordVectors(torch.from_numpy(rows), torch.from_numpy(known))


def _lines(path: Path, tell: Callable[[str], object]) -> Iterator[tuple[int, str, list[bytes]]]:
    """Line number, word and numbers of each line, which all have as many; a UserError where that does not hold."""
    number, line, count, blank, cut = 0, b"\n", 0, 0, 0
    try:
        with opened(path) as file:
            _check_text(path, file.peek(4096))
            lines = enumerate(file, start=1)
            begin = list(islice(lines, 2))
            promised, size = _form(path, [line.removeprefix(codecs.BOM_UTF8) for _, line in begin])
            for number, line in chain(begin if promised is None else begin[1:], lines):
                if not line.strip():
                    blank = blank or number
                    continue
                # Some words of GloVe 840B have blanks in them (". . ."); no word is wrongly cut by that, as ours have none.
                fields = line.rsplit(None, size)
                if len(fields) == size and line[:1].isspace():  # the vector of a blank
                    fields = [b"", *fields]
                if blank or len(fields) <= size or (len(parts := fields[0].split()) > 1 and _is_number(parts[-1])):
                    torn = "" if line.endswith(b"\n") else ": the file is torn in its last line"
                    num_fields = 1 if blank else len(line.split())
                    raise UserError(
                        f"each line of word vectors is a word and {size} finite numbers, but {path}, line "
                        f"{blank or number}, has {num_fields} fields{torn}; download the file again"
                    )
                count += 1
                try:
                    word = fields[0].decode("utf-8")
                except UnicodeDecodeError as error:
                    if error.reason != "unexpected end of data":
                        raise
                    cut += 1
                    continue
                yield number, word, fields[1:]
    except EOFError:
        raise UserError(f"{path} is damaged: gzipped, but without its end, after line {number}; download it again") from None
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(
            f"the word vectors {path} are damaged around line {number} ({type(error).__name__}: {error}); download it again"
        ) from None
    if cut:
        tell(f"{cut} words of {path} end within a letter, as word2vec cuts long ones; they are left out")
    ends = line.endswith(b"\n")
    if promised not in (None, count):
        came = f"{path} promises {promised} word vectors in its first line, but {count} follow"
        if count < promised and not ends:
            raise UserError(f"{came}, and its last line is torn off; download it again")
        tell(f"{came}; those are used")
    elif not ends:
        tell(f"the last line of {path} has no line break: if the file is torn there, its last number is cut short")


def _check_text(path: Path, begin: bytes) -> None:
    if re.search(rb"[\0-\x08\x0e-\x1f]", begin):
        kind = "word2vec's binary form" if re.match(rb"\d+ \d+\n", begin) else "a binary form, such as fastText's .bin, or UTF-16"
        raise UserError(f"word vectors are read from UTF-8 text, but {path} is {kind}; give the text form (.txt, .vec)")


def _form(path: Path, begin: list[bytes]) -> tuple[int | None, int]:
    """How many vectors the first line promises, if it does, and how many numbers a vector has, from the first two lines.

    Two whole numbers are a promise, unless the line below has two fields as well, as in a file of vectors of one number.
    """
    fields = [line.split() for line in begin]
    if fields and len(fields[0]) == 2 and all(field.isdigit() and len(field) < 10 for field in fields[0]):
        promised, size = map(int, fields[0])
        if size > 0 and (size == 1 or len(fields) == 1 or len(fields[1]) != 2):
            return promised, size
    sizes = [min(len(list(takewhile(_is_number, reversed(line)))), len(line) - 1) for line in fields]
    if sizes and max(sizes) < 1:
        raise UserError(
            f"each line of word vectors is a word and finite numbers such as 0.5, but {path}, line 1, has none; give "
            "one of GloVe's or fastText's text files"
        )
    return None, max(sizes, default=1)


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _vector(numbers: list[bytes], where: str) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            vector = np.array(numbers).astype(np.float32)
    except ValueError:
        vector = np.array(np.nan)
    if not np.isfinite(vector).all():
        raise UserError(f"word vectors are finite numbers, but those of {where} are not; download the file again")
    return vector
