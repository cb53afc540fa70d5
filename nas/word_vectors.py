"""Word vectors from the text files that GloVe and fastText publish."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nas.vocabulary import Vocabulary
from spaces.errors import UserError
from spaces.tokens import PADDING, UNKNOWN


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
        words, tokens = self.known[UNKNOWN + 1:], self.known[tokens[tokens != PADDING].long()]
        return Coverage(float(words.double().mean()), float(tokens.double().mean()))


def read_vectors(path: Path, vocabulary: Vocabulary) -> WordVectors:
    """The vectors of the vocabulary's words out of a text file, gzipped or not, of which no other line is kept.

    A line is a word and its D numbers, separated by blanks; fastText's first line, the number of words and D, may be there
    and is then held to. Of a word that comes twice the first vector counts. Random rows are normal with the mean and the
    deviation of all numbers found, the same at every call. A file that is missing, damaged (by line number), or without any
    of the words is a UserError.
    """
    if not path.is_file():
        raise UserError(f"there is no file of word vectors {path}; give one of GloVe's or fastText's text files")
    found: dict[int, np.ndarray] = {}
    for number, word, numbers in _lines(path):
        place = vocabulary.ids.get(word)
        if place is not None and place not in found:
            found[place] = _vector(numbers, f"{path}, line {number}")
    if not found:
        raise UserError(f"{path} has none of the {len(vocabulary.words)} words of the vocabulary; give the vectors of its "
                        "language, words in lower case")
    places, values = np.array(list(found)), np.stack(list(found.values()))
    random = np.random.default_rng(0)
    rows = random.normal(values.mean(), values.std(), (len(vocabulary), values.shape[1])).astype(np.float32)
    rows[PADDING] = 0
    rows[places] = values
    known = np.zeros(len(vocabulary), dtype=bool)
    known[places] = True
    return WordVectors(torch.from_numpy(rows), torch.from_numpy(known))


def _lines(path: Path) -> Iterator[tuple[int, str, list[bytes]]]:
    """Line number, word and numbers of each line, which all have as many; a UserError where that does not hold."""
    number, size, promised = 0, None, None
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                fields = line.rstrip().split(b" ")
                if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                    promised, size = map(int, fields)
                    continue
                size = len(fields) - 1 if size is None else size
                # Some words of GloVe 840B have blanks in them (". . ."); no word is wrongly cut by that, as ours have none.
                if size < 1 or len(fields) <= size or (len(fields) > size + 1 and _is_number(fields[-size - 1])):
                    raise UserError(f"each line of word vectors is a word and {max(size, 1)} numbers, but {path}, line {number}, "
                                    f"has {len(fields)} fields; download the file again")
                yield number, b" ".join(fields[:-size]).decode("utf-8"), fields[-size:]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"the word vectors {path} are damaged around line {number} ({error!r}); download it again") from None
    if promised is not None and number - 1 != promised:
        raise UserError(f"{path} promises {promised} word vectors in its first line, but {number - 1} follow; download it again")


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _vector(numbers: list[bytes], where: str) -> np.ndarray:
    try:
        vector = np.array(numbers).astype(np.float32)
    except ValueError:
        vector = np.array(np.nan)
    if not np.isfinite(vector).all():
        raise UserError(f"word vectors are finite numbers, but those of {where} are not; download the file again")
    return vector
