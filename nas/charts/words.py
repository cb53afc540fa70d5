"""How charts say what a point is."""

from __future__ import annotations

from collections.abc import Iterable

from nas.records.columns import COLUMNS
from nas.report.fair_tables import ShownLine
from nas.report.short_names import short_decoupling
from nas.report.summary import failures


def named(kind: str, *parts: str) -> str:
    """The name of a chart: its kind, and what tells it from others of the kind."""
    return "-".join([kind, *filter(None, parts)])


def by_label(lines: Iterable[ShownLine]) -> dict[str, list[ShownLine]]:
    """The lines of each series."""
    found: dict[str, list[ShownLine]] = {}
    for line in lines:
        found.setdefault(line.label, []).append(line)
    return found


def shown_best(shown: int, there: int, what: str) -> str:
    """That only some are shown; nothing where all are."""
    return f" Shown are the {shown} of {there:,} {what} with the lowest error." if shown < there else ""


def interval_text(mean: float, interval: float | None) -> str:
    """A mean with half its 95 % interval, as the fair table has it."""
    return f"{mean:.2f}" + ("" if interval is None else f" ± {interval:.2f}")


def seeds_text(count: int) -> str:
    """So many seeds."""
    return f"{count} seed" + ("s" if count != 1 else "")


def line_text(line: ShownLine, figures: Iterable[str]) -> str:
    """What a point of a line of the fair table is, in lines: method, decoupling, figures with units, seeds."""
    own, memory = line.line, COLUMNS["peak_activation_bytes"]
    return "\n".join(
        [
            line.label,
            short_decoupling(own.decoupling),
            *figures,
            f"K = {own.num_blocks}, peak {memory.show(own.peak_activation_bytes)} {memory.shown.unit}",
            seeds_text(own.n) + (f", {told}" if (told := failures(own)) else ""),
        ]
    )
