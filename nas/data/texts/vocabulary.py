"""The words that a text network knows."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nas.data.texts.tokens import normalised
from spaces.activation import UNKNOWN
from spaces.notation.errors import UserError

_FIRST = UNKNOWN + 1  # the id of the first word


@dataclass(frozen=True)
class Vocabulary:
    """The known words, the most frequent first. Word i has the id i + 2, behind `PADDING` and `UNKNOWN`."""

    words: tuple[str, ...]

    @classmethod
    def learned(cls, texts: Iterable[Sequence[str]], num_words: int) -> Vocabulary:
        """The most frequent tokens of the texts, as many as `num_words` ids have room for; ties in alphabetical order."""
        if num_words <= _FIRST:
            raise UserError(f"num_words, with padding and the unknown word, is at least {_FIRST + 1}, got {num_words}")
        counts: Counter[str] = Counter()
        for tokens in texts:
            counts.update(tokens)
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))[: num_words - _FIRST]))

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """What `save` or an editor wrote, in normal form; a file that is missing or of another kind is a UserError."""
        if path.exists() and not path.is_file():
            raise UserError(f"a vocabulary is an ordinary file, but {path} is none; it is the file saved with a run")
        try:
            *words, end = normalised(path.read_bytes().decode("utf-8")).replace("\r\n", "\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the vocabulary {path} is missing or damaged ({error}); it is the file saved with a run") from None
        if end or not all(words) or len(set(words)) < len(words):
            raise UserError(f"a vocabulary has one word a line, each once, but {path} does not; it is the file saved with a run")
        return cls(tuple(words))

    def save(self, path: Path) -> None:
        """One word a line, UTF-8; line n, from 1 on, is the word of id n + 1. Appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            file.write(self._content)
        os.replace(part, path)

    @cached_property
    def digest(self) -> str:
        """A name for exactly these words in this order."""
        return hashlib.sha256(self._content).hexdigest()[:16]

    @property
    def _content(self) -> bytes:
        return "".join(f"{word}\n" for word in self.words).encode()

    def __len__(self) -> int:
        """How many ids there are, `PADDING` and `UNKNOWN` among them."""
        return _FIRST + len(self.words)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word."""
        return {word: number for number, word in enumerate(self.words, start=_FIRST)}

    def encoded(self, tokens: Iterable[str]) -> list[int]:
        """The ids of the tokens, `UNKNOWN` for those that are no words of the vocabulary."""
        return [self.ids.get(token, UNKNOWN) for token in tokens]
