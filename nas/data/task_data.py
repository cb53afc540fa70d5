"""What a task gives: its splits, and batches of them. Images and texts are alike from here on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import torch

from methods.training.class_limit import ClassLimit
from nas.records.log import Cell
from spaces.network import PixelScale

# One part of a task's samples, such as its validation split, in the task's own form: it has a length, and as `digest` a name
# for exactly its samples.
Part = Any
# x (N, *input_shape), or (N, T) token ids, or a WithFeatures of one; y int64 (N,)
Batch = tuple[torch.Tensor, torch.Tensor]


class Batches(Protocol):
    """Random batches of one part, each a function of (seed, iteration) alone, so training resumes without saved state."""

    batch_size: int
    num_batches: int  # an epoch's, incomplete ones left out

    def batch(self, seed: int, iteration: int) -> Batch:
        """Seeds and iterations are >= 0."""


class TaskData(Protocol):
    """A classification task, on one device. The test split stays unread until `test()`."""

    @property
    def train(self) -> Part: ...

    @property
    def validation(self) -> Part: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of an image; a `TextShape` of texts, or another `spaces.activation.InputShape`."""

    @property
    def pixels(self) -> PixelScale | None:
        """How images were normalised; None where inputs are none."""

    @property
    def num_features(self) -> int:
        """How many numbers stand beside each input; where there are any, the x of a batch is a `WithFeatures`."""

    @property
    def vectors(self) -> torch.Tensor | None:
        """(num_words, D) word vectors that an embedding starts from; None where there are none."""

    @property
    def content(self) -> dict[str, Cell]:
        """What the settings only name, as digests; a part of what makes two evaluations the same.

        `data_digest` is of all that training and validation are made of, also where only a share of it was taken.
        """

    @property
    def test_digest(self) -> str:
        """Of the test split, which is read for it unless it was read before."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the data, a line each."""

    @property
    def inputs(self) -> dict[str, Any]:
        """How inputs are made of files, as plain data kept with a trained run; its `kind` is of `nas.data.new.input_kinds`."""

    def facts(self, folder: Path) -> dict[str, Cell]:
        """What a row says of the data beside its settings and content; a file that the row names is written to `folder`."""

    def test(self) -> Part:
        """Read the test split, onto the device of the others; an unreadable one is a UserError."""

    def scaled(self, share: float) -> Self:
        """For a trial: a random `share` of training and validation; the test split stays whole."""

    def to(self, device: torch.device) -> Self: ...

    def train_batches(self, batch_size: int, *, limit: ClassLimit | None = None) -> Batches:
        """Of the training split, augmented as the task says. What the split cannot fill is a UserError."""

    def random_batches(self, part: Part, batch_size: int) -> Batches:
        """Random batches of any part, not augmented."""

    def eval_batches(self, part: Part, batch_size: int) -> Iterator[Batch]:
        """Every sample of the part once, not augmented; the last batch may be smaller."""
