"""Samples that come one after the other: iterable data sets, and loaders with an order of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader

from nas.data.images.samples import num_batches
from nas.data.loaded.collated import Collated, one_batch, one_sample, stacked
from nas.data.loaded.indexed import CPU
from nas.data.loaded.randomness import Randomness
from nas.data.loaded.source import AT_ONCE, FIXED, Scan, Source
from nas.data.worker_process import signals_left_to_parent, start_loader_worker
from spaces.notation.errors import UserError


@dataclass(frozen=True, eq=False)
class StreamSource(Source):
    """An iterable data set, or a `DataLoader` around one or with a sampler of the user's own.

    It is started again for every epoch, under random numbers that are seeded by the seed and the epoch; `set_epoch` is called on
    what has it. Its generators stay apart from the training's.
    """

    def __len__(self) -> int:
        """As it says; else as many as were counted when all was read."""
        if "scan" in vars(self):
            return len(self.scan.labels)
        counted = self.dataset
        if self.loader is not None and hasattr(self.loader.dataset, "__getitem__"):
            plain = self.loader.batch_sampler is None or type(self.loader.batch_sampler) is BatchSampler
            counted = self.loader.sampler if plain else None
        with suppress(TypeError, NotImplementedError):  # what has no length
            return len(counted)
        if self.version is not None:
            raise UserError(f"the samples of {self.name} have to be counted beside version=: give its data set a __len__")
        return len(self.scan.labels)

    def batches(
        self, seeds: tuple[int, ...], epoch: int, size: int, *, skip: int = 0, kept: torch.Tensor | None = None
    ) -> Iterator[Collated]:
        """`size` samples each in the stream's own order, without the first `skip`, or those at the places `kept` alone; the last
        batch may be smaller."""
        chosen, randomness = None if kept is None else set(kept.tolist()), Randomness.seeded(*seeds)
        samples = (sample for place, sample in enumerate(self._samples(seeds, epoch)) if chosen is None or place in chosen)
        while True:
            with randomness.going_on():
                for _ in islice(samples, skip):
                    pass
                rows = list(islice(samples, size))
            if not rows:
                return
            skip = 0
            yield stacked(rows)

    def _samples(self, seeds: tuple[int, ...], epoch: int) -> Iterator[Collated]:
        """Every sample once, a batch of one each."""
        place = 0
        with self.told(f"the part {self.name}"), signals_left_to_parent():
            self._announce(epoch)
            stream = iter(self.given if self.loader is None else _by_itself(self.loader))
        while True:
            with self.told(self.where(place)):
                item = next(stream, None)
            if item is None:
                return
            for row in self._rows(item, place):
                yield row
                place += 1

    def _announce(self, epoch: int) -> None:
        """Tell the parts of the stream which epoch begins, and seed the generators that it has of its own."""
        own = [] if self.loader is None else [self.loader.sampler, self.loader.batch_sampler]
        for part in {id(part): part for part in (self.given, self.dataset, *own)}.values():
            if callable(announce := getattr(part, "set_epoch", None)):
                announce(epoch)
            if isinstance(generator := getattr(part, "generator", None), torch.Generator):
                generator.manual_seed(int(torch.randint(2**62, ())))

    def _rows(self, item: Any, place: int) -> Iterator[Collated]:
        """The samples of what the stream gave: one, or those of a loader's batch."""
        if self.loader is None or (self.loader.batch_size is None and self.loader.batch_sampler is None):
            yield self.together([one_sample(item, self.where(place))], [place])
            return
        where = f"the batch of {self.name} that begins with sample {place}"
        count = len(item[0]) if isinstance(item, tuple | list) and item and isinstance(item[0], torch.Tensor) else 0
        batch = self.checked(one_batch(item, count, where), where)
        for row in range(count):
            yield Collated(*(None if part is None else part[row : row + 1] for part in batch))  # type: ignore[arg-type]

    def scanning(self) -> Iterator[Scan]:
        return map(Scan.of, self.batches(FIXED, 0, AT_ONCE))

    def first(self) -> Collated:
        for sample in self.batches(FIXED, 0, 1):
            return sample
        raise UserError(f"the part {self.name} has samples, got an empty one; give at least one")


def _by_itself(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The loader with workers of its own, though it says that they persist: another epoch may be read at the same time."""
    own = copy(loader)
    vars(own)["_iterator"] = None
    own.worker_init_fn = partial(start_loader_worker, loader.worker_init_fn)
    return own


@dataclass(frozen=True, eq=False)
class StreamPart:
    """The samples of a stream; with `kept` those at these places of it alone, which evaluation reads in order."""

    source: StreamSource
    kept: torch.Tensor | None = None
    device: torch.device = CPU
    features = None

    def __len__(self) -> int:
        return len(self.source) if self.kept is None else len(self.kept)

    @property
    def labels(self) -> torch.Tensor:
        """int64 (N,), for which all is read."""
        return self.source.labels if self.kept is None else self.source.labels[self.kept]

    @cached_property
    def digest(self) -> str:
        """A name for exactly these samples."""
        return self.source.digest_of(torch.arange(len(self.source)) if self.kept is None else self.kept)

    def at(self, index: torch.Tensor) -> StreamPart:
        """The part at these places, which have to ascend."""
        return replace(self, kept=index if self.kept is None else self.kept[index])

    def to(self, device: torch.device) -> StreamPart:
        """Batches of it come on the device."""
        return replace(self, device=device)

    def in_order(self, batch_size: int) -> Iterator[Collated]:
        """Every sample once, in the order of the fixed seed; the last batch may be smaller."""
        return self.source.batches(FIXED, 0, batch_size, kept=self.kept)


class StreamDraws:
    """The batches of a stream, epoch by epoch, without the last, incomplete one of each.

    Asked for one after the other they are read once; any other is found by reading its epoch from the start, which is how a run
    that is resumed comes to see what it would have seen.
    """

    def __init__(self, part: StreamPart, batch_size: int) -> None:
        """A batch size outside 1..len(part) is a UserError."""
        self.num_batches = num_batches(len(part), batch_size)
        self.batch_size = batch_size
        self._source = part.source
        self._begun: tuple[tuple[int, int], Iterator[Collated]] | None = None

    def batch(self, seed: int, iteration: int) -> Collated:
        """The batch, on the CPU."""
        epoch, position = divmod(iteration, self.num_batches)
        if not position or self._begun is None or self._begun[0] != (seed, iteration):
            skip = position * self.batch_size
            self._begun = (seed, iteration), self._source.batches((seed, 4, epoch), epoch, self.batch_size, skip=skip)
        batches = self._begun[1]
        self._begun = (seed, iteration + 1), batches
        batch = next(batches, None)
        if batch is None or len(batch.y) < self.batch_size:
            raise UserError(
                f"the part {self._source.name} has as many samples in each epoch, got fewer than {len(self._source)} in epoch "
                f"{epoch}; mend the data set"
            )
        return batch
