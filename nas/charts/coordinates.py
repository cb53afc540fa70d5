"""Decouplings as parallel coordinates: what they are, what they cost, and their errors."""

from __future__ import annotations

from collections.abc import Sequence

from nas.charts.chart import Axis, Drawable, Parallel, Way
from nas.charts.results import Given
from nas.charts.words import interval_text, line_text, named
from nas.records.columns import COLUMNS
from nas.report.fair_table import Line
from nas.report.fair_tables import Table
from nas.report.short_names import short_heads
from spaces.decoupling import Decoupling

FEWEST = 3  # decouplings
SEVERAL = "several"  # heads
MEMORY, MACS = COLUMNS["peak_activation_bytes"].shown, COLUMNS["macs"].shown


def decouplings(given: Given) -> list[Drawable]:
    """Cuts, heads, K, memory, MACs and error of each decoupling, as lines through parallel axes."""
    return [_of_table(given, table) for table in given.tables if len({one.line.decoupling for one in table.lines}) >= FEWEST]


def _of_table(given: Given, table: Table) -> Parallel:
    points = [Decoupling.parse(one.line.decoupling) for one in table.lines]
    heads = [_head(point) for point in points]
    names = sorted(set(heads), key=lambda name: (name == SEVERAL, name))
    ways = tuple(
        Way(
            _values(one.line, point.cuts, names.index(head)),
            line_text(one, [f"test error {interval_text(one.line.test_error, one.line.interval)} %"]),
            one.command,
            one.key,
            one.label,
            given.looks[one.label].colour,
            given.looks[one.label].marker,
        )
        for one, point, head in zip(table.lines, points, heads, strict=True)
    )
    return Parallel(
        named("decouplings", table.name),
        "decouplings",
        "Decouplings side by side",
        "Each line is a method on a decoupling: how many blocks it has, where its first and last cut are, its heads, its "
        "costs, and at the last axis its mean test error.",
        (
            Axis("K"),
            Axis("first cut", "units before"),
            Axis("last cut", "units before"),
            Axis("heads", names=tuple(names)),
            Axis("peak", MEMORY.unit),
            Axis("training MACs", MACS.unit),
            Axis("test error", "%"),
        ),
        ways,
        table.name,
        table.title,
    )


def _values(line: Line, cuts: Sequence[int], head: int) -> tuple[float | None, ...]:
    return (
        float(line.num_blocks),
        float(cuts[0]) if cuts else None,
        float(cuts[-1]) if cuts else None,
        float(head),
        line.peak_activation_bytes / MEMORY.over,
        line.train_macs / MACS.over,
        line.test_error,
    )


def _head(point: Decoupling) -> str:
    if not point.cuts:
        return "none"
    return short_heads(point) if len(set(point.heads)) == 1 else SEVERAL
