"""Runs as lines of a table: a method on a decoupling over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nas.records.columns import COLUMNS, names
from nas.records.frames import numbers
from nas.records.status import DIVERGED, KILLED, OUT_OF_MEMORY, count_of
from nas.report.interval import half_interval
from nas.report.short_names import short_decoupling, short_names
from nas.report.table import optional, table

if TYPE_CHECKING:
    import pandas as pd

ASKED = names(lambda column: column.measured == "asked")


@dataclass(frozen=True)
class Summary:
    """One method on one decoupling over n seeds; errors in percent, `interval` half the width of the 95 % interval.

    `std` and `interval` (`half_interval`) are None for a single seed, `step_seconds`, a mean, where no run ended well. Runs that
    `diverged`, were `out_of_memory` or `killed` count as 100 % wrong. `figures` are means of those that were asked for while the
    runs trained (`nas.evaluation.figures`), by column.
    """

    method: str
    decoupling: str
    num_blocks: int
    n: int
    mean: float
    std: float | None
    interval: float | None
    validation: float
    peak_activation_bytes: int
    step_seconds: float | None
    diverged: int
    out_of_memory: int = 0
    killed: int = 0
    figures: dict[str, float] = field(default_factory=dict)


def failures(line: Any) -> str:
    """What there is to say of the failed runs of a line that has their numbers."""
    counts = {"diverged": line.diverged, "out of memory": line.out_of_memory, "killed": line.killed}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def failed_note(lines: Sequence[Any], names: Sequence[str]) -> str | None:
    """Which of the means have failed runs in them; None where there are none."""
    told = [f"{failures(line)} of {line.n} ({name})" for line, name in zip(lines, names, strict=True) if failures(line)]
    return "runs that failed count as 100 % wrong in the means: " + "; ".join(told) if told else None


def summarise(rows: Iterable[Mapping[str, str]], column: str = "test_error") -> list[Summary]:
    """The rows of each method and decoupling as one line, best mean first.

    Of n seeds the mean of `column`, in percent, and its standard deviation with n - 1 below. A run that failed counts as 100 %
    wrong; where the column is empty, as of an ensemble of one, the test error counts.
    """
    frame = numbers(rows, column, "test_error", "validation_error", "step_seconds", "num_blocks", "peak_activation_bytes")
    if frame.empty:
        return []
    frame["error"] = 100 * frame[column].fillna(frame["test_error"]).fillna(1.0)
    frame["method"] = frame["method"].map(short_names(frame["method"].unique()))
    groups = frame.groupby(["method", "decoupling"], sort=False)
    return sorted((_summary(str(method), str(point), group) for (method, point), group in groups), key=lambda s: s.mean)


def _summary(method: str, decoupling: str, group: pd.DataFrame) -> Summary:
    n, std, seconds = len(group), float(group["error"].std()), group["step_seconds"].dropna()
    return Summary(
        method=method,
        decoupling=decoupling,
        num_blocks=int(group["num_blocks"].iloc[0]),
        n=n,
        mean=float(group["error"].mean()),
        std=std if n > 1 else None,
        interval=half_interval(group["error"]),
        validation=100 * float(group["validation_error"].mean()),
        peak_activation_bytes=int(group["peak_activation_bytes"].iloc[0]),
        step_seconds=float(seconds.mean()) if len(seconds) else None,
        diverged=count_of(DIVERGED, group["status"]),
        out_of_memory=count_of(OUT_OF_MEMORY, group["status"]),
        killed=count_of(KILLED, group["status"]),
        figures={name: float(group[name].mean()) for name in ASKED if name in group and group[name].notna().any()},
    )


def summary_table(summaries: Sequence[Summary], width: int | None = None) -> str:
    """The summaries as a table."""
    num_blocks, tested, validated, peak, step = (
        COLUMNS[name] for name in ("num_blocks", "test_error", "validation_error", "peak_activation_bytes", "step_seconds")
    )
    figures = [name for name in ASKED if any(name in s.figures for s in summaries)]
    header = [
        "method",
        num_blocks.heading,
        tested.heading,
        "std",
        "95 % interval",
        "n",
        validated.heading,
        peak.heading,
        step.heading,
        *(COLUMNS[name].heading for name in figures),
        "decoupling",
    ]
    lines = [
        [
            s.method,
            str(s.num_blocks),
            f"{s.mean:.2f}",
            optional(s.std),
            _interval(s),
            str(s.n),
            f"{s.validation:.2f}",
            peak.show(s.peak_activation_bytes),
            step.show(s.step_seconds),
            *(COLUMNS[name].show(s.figures.get(name)) for name in figures),
            short_decoupling(s.decoupling) + (f"  ({failures(s)})" if failures(s) else ""),
        ]
        for s in summaries
    ]
    return table(header, lines, width)


def _interval(summary: Summary) -> str:
    if summary.interval is None:
        return ""
    return f"{max(0.0, summary.mean - summary.interval):.2f}..{min(100.0, summary.mean + summary.interval):.2f}"
