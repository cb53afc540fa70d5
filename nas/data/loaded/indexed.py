"""Data sets whose samples have numbers: batches of them are drawn here, whatever the order of a loader around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nas.data.class_limited import ClassLimited
from nas.data.images.samples import num_batches
from nas.data.loaded.collated import Collated
from nas.data.loaded.randomness import seed_all, seeds_of, untouched
from nas.data.loaded.source import AT_ONCE, FIXED, Scan, Source
from nas.data.worker_process import signals_left_to_parent, start_loader_worker
from spaces.notation.errors import UserError

CPU = torch.device("cpu")


class Request(NamedTuple):
    """The samples of one batch, and what each is read under; by their own numbers where `seeds` is FIXED."""

    places: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class IndexedSource(Source):
    """A map-style data set, or a `DataLoader` that takes such samples in order or shuffled."""

    def __len__(self) -> int:
        with self.told(f"the length of {self.name}"):
            return len(self.dataset)

    def read(self, request: Request) -> Collated:
        """The samples of a batch, each read under random numbers of its own, so that no batch depends on another."""
        items, fixed = [], request.seeds == FIXED
        numbers = request.places if fixed else range(len(request.places))
        with untouched():
            for seed, place in zip(seeds_of(request.seeds, numbers), request.places, strict=True):
                seed_all(seed)
                with self.told(self.where(place)):
                    items.append(self.dataset[place])
            return self.collated(items, request.places, (*request.seeds, request.places[0] if fixed else len(items)))

    def scanned(self, request: Request) -> Scan:
        """What is found out of the samples of a request; a collate function of the user's is given them one by one."""
        if self.collate is None:
            return Scan.of(self.read(request))
        found = [Scan.of(self.read(Request((place,), FIXED))) for place in request.places]
        return Scan(*map(torch.cat, zip(*found, strict=True)))

    def scanning(self) -> Iterator[Scan]:
        places = range(len(self))
        requests = (Request(tuple(places[first : first + AT_ONCE]), FIXED) for first in places[::AT_ONCE])
        return self.reading(requests, IndexedSource.scanned)

    def batches(self, requests: Iterable[Request]) -> Iterator[Collated]:
        """The batches that are requested, in order."""
        return self.reading(requests, IndexedSource.read)

    def reading(self, requests: Iterable[Request], read: Callable[[IndexedSource, Request], Any]) -> Iterator[Any]:
        """What `read` makes of each request, in order and ahead, by as many workers as the user's `DataLoader` has."""
        options: dict[str, Any] = {}
        if self.loader is not None and self.loader.num_workers:
            options = {
                name: getattr(self.loader, name)
                for name in ("num_workers", "multiprocessing_context", "prefetch_factor", "timeout")
            } | {"worker_init_fn": partial(start_loader_worker, self.loader.worker_init_fn)}
        own = torch.Generator()  # else the loader draws a seed for its workers from everybody's
        loader = DataLoader(_Requested(self, read), sampler=requests, batch_size=None, collate_fn=_same, generator=own, **options)
        with self.told(f"the part {self.name}"), signals_left_to_parent():
            batches = iter(loader)
        while True:
            with self.told(f"the part {self.name}"):
                made = next(batches, None)
            if made is None:
                return
            if isinstance(made, str):
                raise UserError(made)
            yield made

    def first(self) -> Collated:
        if not len(self):
            raise UserError(f"the part {self.name} has samples, got an empty one; give at least one")
        return self.read(Request((0,), FIXED))

    @property
    def known_labels(self) -> torch.Tensor | None:
        """int64 (N,): of a scan, or the data set's own `targets`, if they are whole numbers and nothing transforms them."""
        targets = getattr(self.dataset, "targets", None)
        if "scan" in vars(self) or targets is None or getattr(self.dataset, "target_transform", None) is not None:
            return super().known_labels
        if not isinstance(targets, list | torch.Tensor | np.ndarray) or len(targets) != len(self):
            return None
        found = torch.as_tensor(targets)
        return found.long() if found.dim() == 1 and found.dtype in (torch.int64, torch.int32, torch.uint8) else None


class _Requested(Dataset[Any]):
    """A data set of what is read, by requests; an error of the user's is given as its text, which a worker can send."""

    def __init__(self, source: IndexedSource, read: Callable[[IndexedSource, Request], Any]) -> None:
        self.source, self.read = source, read

    def __getitem__(self, request: Request) -> Any:
        try:
            return self.read(self.source, request)
        except UserError as error:
            return str(error)


def _same(batch: Any) -> Any:
    return batch


@dataclass(frozen=True, eq=False)
class IndexedPart:
    """The samples of a source at some places, int64 (N,)."""

    source: IndexedSource
    index: torch.Tensor
    device: torch.device = CPU
    features = None

    @classmethod
    def whole(cls, source: IndexedSource) -> IndexedPart:
        """All samples of the source."""
        return cls(source, torch.arange(len(source)))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels(self) -> torch.Tensor:
        """int64 (N,)."""
        return self.source.labels[self.index]

    @cached_property
    def digest(self) -> str:
        """A name for exactly these samples."""
        return self.source.digest_of(self.index)

    def at(self, index: torch.Tensor) -> IndexedPart:
        """The part at these places, in this order."""
        return replace(self, index=self.index[index])

    def to(self, device: torch.device) -> IndexedPart:
        """Batches of it come on the device."""
        return replace(self, device=device)

    def in_order(self, batch_size: int) -> Iterator[Collated]:
        """Every sample once, read as evaluation does; the last batch may be smaller."""
        return self.source.batches(Request(tuple(places.tolist()), FIXED) for places in self.index.split(batch_size))


class IndexedDraws:
    """Random batches of a part, each a function of (seed, iteration) alone.

    An epoch is a permutation drawn from (seed, epoch), without its last, incomplete batch. `augmented` seeds what the data set
    draws by the batch and the place in it; else each sample is read as evaluation reads it. With `limited` its first iterations
    are drawn by class instead.
    """

    def __init__(
        self, part: IndexedPart, batch_size: int, *, augmented: bool, limited: ClassLimited | None = None, limited_until: int = 0
    ) -> None:
        """A batch size outside 1..len(part) is a UserError."""
        self.num_batches = num_batches(len(part), batch_size)
        self.batch_size = batch_size
        self._source = part.source
        self._requests = _Requests(part.index, batch_size, self.num_batches, augmented, limited, limited_until)
        self._begun: tuple[tuple[int, int], Iterator[Collated]] | None = None  # what comes next, and what reads it ahead

    def batch(self, seed: int, iteration: int) -> Collated:
        """The batch, on the CPU; one after the other they are read ahead."""
        if self._begun is None or self._begun[0] != (seed, iteration):
            self._begun = (seed, iteration), self._source.batches(self._requests.from_on(seed, iteration))
        reading = self._begun[1]
        self._begun = (seed, iteration + 1), reading
        return next(reading)


@dataclass(frozen=True)
class _Requests:
    """What is asked of a source for random batches of the samples at `places`. Apart from `IndexedDraws`, so that what reads
    ahead, and its workers, end with that."""

    places: torch.Tensor
    batch_size: int
    num_batches: int
    augmented: bool
    limited: ClassLimited | None
    limited_until: int

    def from_on(self, seed: int, iteration: int) -> Iterator[Request]:
        """Those of the iterations from this one on, without end."""
        drawn, order = -1, np.zeros(0, dtype=np.int64)
        while True:
            epoch, position = divmod(iteration, self.num_batches)
            if self.limited is not None and iteration < self.limited_until:
                index = self.limited.index(np.random.default_rng((seed, 2, iteration)))
            else:
                if epoch != drawn:
                    drawn, order = epoch, np.random.default_rng((seed, 1, epoch)).permutation(len(self.places))
                index = order[position * self.batch_size :][: self.batch_size]
            places = tuple(self.places[torch.from_numpy(index)].tolist())
            yield Request(places, (seed, 4, iteration) if self.augmented else FIXED)
            iteration += 1
