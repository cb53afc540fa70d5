"""Which colour and marker a series has: numbers of the palette, so that a name looks the same in all charts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nas.charts.palette import COLOURS, MARKERS


@dataclass(frozen=True)
class Look:
    """Numbers of a colour and of a marker."""

    colour: int
    marker: int


def look(number: int) -> Look:
    """That of the series of this number, from 0 on: as many as there are markers differ in these, and 72 in marker or colour."""
    return Look(number % len(COLOURS), number % len(MARKERS))


def looks(names: Iterable[str]) -> dict[str, Look]:
    """That of each name, in order."""
    return {name: look(number) for number, name in enumerate(names)}
