"""The picture that a command leaves beside its rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from nas.charts.chart import Drawable
from nas.charts.drawn.figure import draw

WIDTH = 5.0  # inches of each chart


def drawn(charts: Sequence[Drawable], path: Path) -> Path | None:
    """Where the charts are drawn, side by side; None where that could not be written, which is said."""
    try:
        draw(charts, path, width=WIDTH)
    except OSError as error:
        print(f"there is no plot {path}: {error.strerror}", file=sys.stderr)
        return None
    return path
