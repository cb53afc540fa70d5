"""A table as text."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], lines: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns as wide as they need to be; numbers to the right."""
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    numeric = [bool(lines) and all(line[i][:1].isdigit() or not line[i] for line in lines) for i in range(len(header) - 1)]
    numeric.append(False)

    def written(line: Sequence[str]) -> str:
        cells = (
            f"{cell:>{width}}" if right else f"{cell:{width}}" for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        return "  ".join(cells).rstrip()

    return "\n".join([written(header), written(["─" * width for width in widths]), *map(written, lines)])


def optional(value: float | None, digits: int = 2) -> str:
    """The number as text; empty for None."""
    return "" if value is None else f"{value:.{digits}f}"
