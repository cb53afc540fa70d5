"""What the page shows of results that change: read again when they have changed, and not more often than it is worth."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from nas.charts.results import Given, read_given
from nas.page.data import page_data
from nas.page.page import as_json, page
from nas.records.beats import Beat
from nas.records.results import Results
from nas.records.stores.url import is_url, redacted, split_file
from nas.watch.now import now_of
from nas.watch.server import Paths, Served
from spaces.notation.errors import UserError

SECONDS = 3  # between two looks of a page
REST = 5.0  # times as long as the processor took to read nothing is read again: many rows take a sixth of a core at most


@dataclass(frozen=True)
class Told:
    """What processes tell, and `trouble`: why that of a store cannot be read."""

    beats: list[Beat]
    trouble: str

    @property
    def version(self) -> str:
        """That of something else is another."""
        told = [(beat.name, beat.text, beat.is_alive) for beat in self.beats]
        return sha256(repr((told, self.trouble)).encode()).hexdigest()[:16]


class Watched:
    """The results at these places, as the page, its data, and what runs now; each with a version, by which an unchanged state is
    known without reading it. Any thread may ask. Nothing is read while nobody asks.

    Places need not be there yet. What cannot be read is a warning on the page, and read again once it has changed.
    """

    def __init__(self, places: Sequence[str], conditions: Sequence[str], title: str) -> None:
        self.places, self.conditions, self.title = tuple(places), tuple(conditions), title
        self.stores = tuple(dict.fromkeys(map(_store_of, places)))
        self._lock = Lock()
        self._stamp: object = None
        self._rests_until = 0.0
        self._number, self._name = 0, os.urandom(4).hex()  # of another server the versions are others
        self._given = Given()
        self._data: dict[str, Any] = {}

    def paths(self) -> Paths:
        """What is served where."""
        return {"/": self.page, "/data.json": self.data, "/now.json": self.now}

    def page(self) -> Served:
        """The page, with the data of the moment in it."""
        number, data, told = self._state()
        return Served("text/html", f"{number}-{told.version}", lambda: page({**data, "running": self._now(number, told)}))

    def data(self) -> Served:
        """All data, and what runs now."""
        number, data, told = self._state()
        return Served(
            "application/json", f"{number}-{told.version}", lambda: as_json({**data, "running": self._now(number, told)})
        )

    def now(self) -> Served:
        """What runs now alone, which changes every few seconds, and the version of the data."""
        number, _, told = self._state()
        return Served("application/json", f"{number}-{told.version}", lambda: as_json(self._now(number, told)))

    def _now(self, number: str, told: Told) -> dict[str, Any]:
        return {"version": number, "trouble": told.trouble, **now_of(self._given, told.beats)}

    def _state(self) -> tuple[str, dict[str, Any], Told]:
        with self._lock:
            self._refresh()
            return f"{self._name}.{self._number}", self._data, self._told()

    def _told(self) -> Told:
        beats, trouble = [], ""
        for store in self.stores:
            try:
                beats += store.beats.read()
            except UserError as error:
                trouble = redacted(str(error))
        return Told(beats, trouble)

    def _refresh(self) -> None:
        """Read the results again if they have changed."""
        if time.monotonic() < self._rests_until or (stamp := self._seen()) == self._stamp:
            return
        began = time.thread_time()
        try:
            given = read_given(self.places, self.conditions)
        except UserError as error:  # no row meets the conditions yet
            given = Given(warnings=(redacted(str(error)),))
        self._data = page_data(given, self.title, live={"url": "data.json", "now": "now.json", "seconds": SECONDS})
        self._given, self._stamp, self._number = given, stamp, self._number + 1
        self._rests_until = time.monotonic() + REST * (time.thread_time() - began)

    def _seen(self) -> object:
        stamps: list[object] = []
        for store in self.stores:
            try:
                stamps.append(store.stamp())
            except (UserError, OSError) as error:
                stamps.append(str(error))
        return tuple(stamps)


def _store_of(place: str) -> Results:
    """The store that a place is, or is of."""
    if is_url(place):
        return Results(split_file(place)[0])
    path = Path(place)
    return Results(path.parent if place.endswith(".csv") or path.is_file() else path)
