"""What tasks of images and of texts share: their parts, the features beside their samples, and names for what is in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, Protocol, Self, TypeVar

import torch

from nas.data.digest import digest
from nas.data.features import FeatureScale
from nas.data.trial_parts import Divisible, trial_parts


class Part(Divisible, Protocol):
    """One part of a task's samples."""

    @property
    def features(self) -> torch.Tensor | None:
        """float32 (N, F), standardised: the numbers beside each sample; None without any."""

    @property
    def device(self) -> torch.device: ...

    @property
    def digest(self) -> str:
        """A name for exactly these samples, wherever they lie."""

    def to(self, device: torch.device) -> Self: ...


P = TypeVar("P", bound=Part)


@dataclass(frozen=True, eq=False)
class TaskParts(Generic[P]):
    """A task's samples for training and for validation, and how those for testing are read, which stay unread until `test()`.

    classes        their names, where they have any
    feature_scale  of the features beside the samples, where there are any
    whole          the digest of the data that this is a share of
    split_notes    what there is to say of the parts, a line each
    """

    train: P
    validation: P
    read_test: Callable[[], P]
    num_classes: int
    classes: tuple[str, ...] | None = field(default=None, kw_only=True)
    feature_scale: FeatureScale | None = field(default=None, kw_only=True)
    whole: str | None = field(default=None, kw_only=True)
    split_notes: tuple[str, ...] = field(default=(), kw_only=True)

    def test(self) -> P:
        """Read the test split, onto the device of the others; an unreadable one is a UserError."""
        test = self.read_test()
        vars(self)["test_digest"] = test.digest
        return test.to(self.train.device)

    @cached_property
    def test_digest(self) -> str:
        """Of the test split, which is read for it unless it was read before."""
        return self.test().digest

    def scaled(self, share: float) -> Self:
        """For a trial: a random `share` of training and validation; all that was made of the whole stays as it is."""
        train, validation, notes = trial_parts(self.train, self.validation, share, self.classes)
        return replace(self, train=train, validation=validation, whole=self.digest, split_notes=(*self.split_notes, *notes))

    def to(self, device: torch.device) -> Self:
        """With training and validation on the device."""
        return replace(self, train=self.train.to(device), validation=self.validation.to(device))

    @property
    def num_features(self) -> int:
        """How many numbers stand beside each sample."""
        return 0 if self.train.features is None else self.train.features.shape[1]

    @cached_property
    def digest(self) -> str:
        """Of training and validation; of the whole also in a trial, since constants and words are those of the whole."""
        scale = () if self.feature_scale is None else (self.feature_scale.mean.float(), self.feature_scale.std.float())
        return self.whole or digest(self.train.digest, self.validation.digest, self.classes, *scale)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the data, a line each."""
        return self.split_notes
