"""A user's own data set or loader, as one part of a task: what it is read by, and what is found out by reading all of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import torch
from torch.utils.data import DataLoader, Subset, SubsetRandomSampler, default_collate, default_convert

from nas.data.digest import digest
from nas.data.loaded.collated import Collated, Form, one_batch, one_sample, stacked
from nas.data.loaded.randomness import seed_all, seeds_of
from spaces.activation import PADDING
from spaces.notation.errors import UserError
from spaces.notation.own_modules import OWN_ERRORS, said_by

AT_ONCE = 64  # samples that are read together where all are
FIXED = (0, 5)  # what reading without augmentation is seeded by, with a sample's number behind


class Scan(NamedTuple):
    """What reading samples gives: a digest of each, int64 (N,), and its label, int64 (N,)."""

    digests: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of(cls, samples: Collated) -> Scan:
        """That of these."""
        ids = samples.kind == "ids"
        features = [None] * len(samples.y) if samples.features is None else samples.features
        pairs = zip(samples.x, features, strict=True)
        found = [_digest(x[: _length(x)] if ids else x, beside) for x, beside in pairs]
        return cls(torch.tensor(found), samples.y)


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """One part of the data, in the user's own form.

    given    the data set, or the `DataLoader` around it
    name     of the part: train, validation or test
    version  what the user calls the content; None where a digest of all samples is taken
    form     what every sample has to be; None before the first is known
    length   how many tokens of a text are kept
    """

    given: Any
    name: str
    version: str | None = None
    form: Form | None = None
    length: int | None = None

    @property
    def loader(self) -> DataLoader[Any] | None:
        """The `DataLoader`, if one was given."""
        return self.given if isinstance(self.given, DataLoader) else None

    @cached_property
    def dataset(self) -> Any:
        """What yields the samples."""
        if not isinstance(self.given, DataLoader):
            return self.given
        sampler = self.given.sampler
        if isinstance(sampler, SubsetRandomSampler):  # which says which samples, shuffled
            return Subset(self.given.dataset, list(map(int, sampler.indices)))
        return self.given.dataset

    @property
    def collate(self) -> Callable[[list[Any]], Any] | None:
        """The user's own collate function; None where samples are simply stacked."""
        own = None if self.loader is None else self.loader.collate_fn
        return None if own in (None, default_collate, default_convert) else own

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are."""

    @abstractmethod
    def scanning(self) -> Iterator[Scan]:
        """What `scan` is put together from."""

    @abstractmethod
    def first(self) -> Collated:
        """The first of them."""

    def with_form(self, form: Form, length: int | None) -> Self:
        """The same, whose samples are held to a form and cut to a length; what is known of all of them stays known."""
        made = replace(self, form=form, length=length)
        vars(made).update({name: known for name, known in vars(self).items() if name == "scan"})
        return made

    def collated(self, items: Sequence[Any], places: Sequence[int], seeds: tuple[int, ...]) -> Collated:
        """The data set's items as one batch; `places` are their numbers, and `seeds` what a collate function draws from."""
        if self.collate is None:
            return self.together([one_sample(item, self.where(n)) for item, n in zip(items, places, strict=True)], places)
        of_others = " and others" * (len(items) > 1)
        where = f"the batch that the collate function of {self.name} makes of sample {places[0]}{of_others}"
        with self.told(where):
            seed_all(*seeds_of(seeds, [0]))
            made = self.collate(list(items))
        return self.checked(one_batch(made, len(items), where), where)

    def together(self, samples: Sequence[Collated], places: Sequence[int]) -> Collated:
        """Batches of one sample each, whose numbers are `places`, as one that has the form; what does not fit is named."""
        alike = self.form is None or all(self.form.is_like(sample) for sample in samples)
        try:
            if alike:
                return self.checked(stacked(samples), "a batch")
        except UserError:
            pass
        for sample, place in zip(samples, places, strict=True):
            self.checked(sample, self.where(place))
        raise AssertionError("a sample of a batch that does not fit does not fit")

    def checked(self, samples: Collated, where: str) -> Collated:
        """The samples, held to the form and cut to their length; `where` is what messages call them."""
        if self.form is not None:
            self.form.check(samples, where)
        return samples._replace(x=samples.x[:, : self.length]) if samples.kind == "ids" else samples

    def where(self, place: int) -> str:
        """What messages call a sample."""
        return f"sample {place} of {self.name}"

    @contextmanager
    def told(self, where: str) -> Iterator[None]:
        """What the user's own code raises inside is a UserError in one line, with the file and line of theirs."""
        try:
            yield
        except UserError:
            raise
        except (*OWN_ERRORS, OSError) as error:
            if str(error).startswith("DataLoader worker"):
                raise UserError(
                    f"{where}: a worker process of the DataLoader ended, as happens when memory is short; take fewer workers "
                    "or smaller batches, and give the same command again"
                ) from None
            raise UserError(f"{where} cannot be read ({said_by(error)}); mend the data set") from None

    @cached_property
    def scan(self) -> Scan:
        """Of all samples, each read once, as evaluation reads it: the same at every call."""
        found = list(self.scanning())
        if not found:
            raise UserError(f"the part {self.name} has samples, got an empty one; give at least one")
        return Scan(*map(torch.cat, zip(*found, strict=True)))

    @property
    def known_labels(self) -> torch.Tensor | None:
        """int64 (N,), where nothing need be read for them."""
        return self.scan.labels if "scan" in vars(self) else None

    @property
    def labels(self) -> torch.Tensor:
        """int64 (N,): read once where nothing says them."""
        known = self.known_labels
        return self.scan.labels if known is None else known

    def digest_of(self, index: torch.Tensor) -> str:
        """A name for the samples at these places: by the version, or by what they hold."""
        if self.version is not None:
            return digest("version", self.version, self.name, index)
        return digest(self.scan.digests[index], self.scan.labels[index])


def _digest(x: torch.Tensor, features: torch.Tensor | None) -> int:
    """Of one sample, a number that int64 holds."""
    return int.from_bytes(bytes.fromhex(digest(x, features)), "little", signed=True)


def _length(ids: torch.Tensor) -> int:
    """How many tokens there are before the padding."""
    there = (ids != PADDING).nonzero()
    return int(there[-1]) + 1 if len(there) else 0
