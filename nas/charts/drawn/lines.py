"""Markers and dashes as matplotlib has them."""

from __future__ import annotations

from typing import Any

from nas.charts.palette import DASHES, FILLED, MARKERS

_MARKERS = dict(zip(FILLED, ("o", "s", "D", "^", "v", "p", "P", "X", "*"), strict=True))
_DASHES: dict[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 1.5)),
    "dot": (0, (1, 1.2)),
    "dashdot": (0, (5, 1.5, 1, 1.5)),
    "longdash": (0, (9, 2)),
}


def dashes_of(marker: int) -> Any:
    """The dashes of lines of the series with this number of a marker."""
    return _DASHES[DASHES[marker % len(DASHES)]]


def marker_of(marker: int) -> dict[str, Any]:
    """The marker of this number, as settings of a line."""
    name = MARKERS[marker]
    hollow = {"markerfacecolor": "white", "markeredgewidth": 0.9} if name.endswith("-open") else {"markeredgewidth": 0}
    return {"marker": _MARKERS[name.removesuffix("-open")], **hollow}
