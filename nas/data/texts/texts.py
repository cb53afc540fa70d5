"""Tasks of texts, and their batches: texts of about the same length together, on the device of the texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from methods.training.class_limit import ClassLimit
from nas.data.class_limited import ClassLimited
from nas.data.images.samples import num_batches
from nas.data.task_data import Batch
from nas.data.task_parts import TaskParts
from nas.data.texts.samples import TextSplit
from nas.data.texts.vocabulary import Vocabulary
from nas.data.texts.word_vectors import Coverage
from nas.records.log import Cell
from spaces.activation import TextShape

CHUNK = 32  # batches that are sorted by length together; 16 leave up to 19 % of an epoch's tokens to padding, 32 up to 11 %


@dataclass(frozen=True, eq=False)
class Texts(TaskParts[TextSplit]):
    """A text classification task: its splits, the words of its training split, and vectors for them where a file was given.

    `length` is how many tokens of a text are kept; `classes` are the labels as the files have them.
    """

    length: int
    vocabulary: Vocabulary
    vectors: torch.Tensor | None = None  # float32 (num_words, D), on the CPU
    coverage: Coverage | None = None

    @property
    def input_shape(self) -> TextShape:
        """At most `length` tokens, of as many ids as the vocabulary has."""
        return TextShape(self.length, len(self.vocabulary))

    @property
    def pixels(self) -> None:
        """None: texts have no pixels to scale."""

    @cached_property
    def content(self) -> dict[str, Cell]:
        """A digest of the texts and labels for training and validation, the file that `facts` writes the vocabulary to, named
        after its content, and a digest of the vectors."""
        vectors = None if self.vectors is None else sha256(self.vectors.numpy().tobytes()).hexdigest()[:16]
        return {"data_digest": self.digest, "vocabulary": f"vocabulary_{self.vocabulary.digest}.txt", "vectors": vectors}

    @property
    def notes(self) -> tuple[str, ...]:
        """How many words there are, how much of them the vectors cover, and what there is to say of the splits."""
        words = f"{len(self.vocabulary.words):,} words"
        if self.coverage is None:
            return (words, *self.split_notes)
        return (
            f"{words}; vectors for {self.coverage.words:.1%} of them, {self.coverage.tokens:.1%} of the training tokens",
            *self.split_notes,
        )

    @property
    def inputs(self) -> dict[str, Any]:
        """How many tokens of a text are kept, the words, the classes, and how features beside them are scaled."""
        return {
            "kind": "texts",
            "length": self.length,
            "words": list(self.vocabulary.words),
            "classes": list(self.classes or map(str, range(self.num_classes))),
            "features": self.feature_scale and self.feature_scale.facts,
        }

    def facts(self, folder: Path) -> dict[str, Cell]:
        """How many ids there are, and how much the vectors cover; writes the vocabulary's file."""
        path = folder / str(self.content["vocabulary"])
        if not path.exists():
            self.vocabulary.save(path)
        facts: dict[str, Cell] = {"num_words": len(self.vocabulary)}
        if self.coverage is not None:
            facts |= {"words_covered": self.coverage.words, "tokens_covered": self.coverage.tokens}
        return facts

    def train_batches(self, batch_size: int, *, limit: ClassLimit | None = None) -> TextBatches:
        """Random batches of the training split; a size and a limit that it cannot keep are UserErrors."""
        limited = ClassLimited(self.train.labels, self.num_classes, limit.num, batch_size) if limit else None
        return TextBatches(self.train, batch_size, limited, limit.iterations if limit else 0)

    def random_batches(self, part: TextSplit, batch_size: int) -> TextBatches:
        """Random batches of any part of the texts."""
        return TextBatches(part, batch_size)

    def eval_batches(self, part: TextSplit, batch_size: int) -> Iterator[Batch]:
        """The texts of the part once, the longest first; the last batch may be smaller."""
        for index in part.lengths.argsort(descending=True, stable=True).split(batch_size):
            yield part.batch(index)


class TextBatches:
    """Random batches of one split, each a function of (seed, iteration) alone, so training resumes without saved state.

    An epoch is a permutation drawn from (seed, epoch), of which the last, incomplete batch is left out. Every `CHUNK` or so
    batches of it are sorted by length and cut into batches, and all batches are shuffled: so a batch has little padding, and
    yet other texts each epoch. The first `limited_until` iterations are drawn by `limited` instead, whatever the lengths.
    """

    def __init__(self, split: TextSplit, batch_size: int, limited: ClassLimited | None = None, limited_until: int = 0) -> None:
        """A batch size outside 1..len(split) is a UserError."""
        self.num_batches = num_batches(len(split), batch_size)  # an epoch's
        self.batch_size = batch_size
        self._split, self._limited, self._limited_until = split, limited, limited_until
        self._epoch: tuple[tuple[int, int], torch.Tensor] | None = None

    def batch(self, seed: int, iteration: int) -> Batch:
        """x int64 (N, T), T the batch's longest text, y int64 (N,), on the device of the split; seeds and iterations are >= 0."""
        if self._limited is not None and iteration < self._limited_until:
            return self._split.batch(torch.from_numpy(self._limited.index(np.random.default_rng((seed, 2, iteration)))))
        epoch, position = divmod(iteration, self.num_batches)
        return self._split.batch(self._index(seed, epoch)[position])

    def _index(self, seed: int, epoch: int) -> torch.Tensor:
        """int64 (num_batches, batch_size): the texts of the epoch's batches; the one last asked for is kept."""
        if self._epoch is None or self._epoch[0] != (seed, epoch):
            random, lengths = np.random.default_rng((seed, 1, epoch)), self._split.lengths.numpy()
            order = random.permutation(len(lengths))[: self.num_batches * self.batch_size].reshape(self.num_batches, -1)
            chunks = np.array_split(order, max(1, round(self.num_batches / CHUNK)))
            by_length = [chunk.flat[np.argsort(lengths[chunk], axis=None, kind="stable")] for chunk in chunks]
            batches = np.concatenate(by_length).reshape(order.shape)
            self._epoch = (seed, epoch), torch.from_numpy(random.permutation(batches))
        return self._epoch[1]
