"""What people read of exits: a table of where networks stop, and one of adaptive inference at its chosen thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.records.columns import COLUMNS
from nas.records.frames import numbers
from nas.report.short_names import short_decoupling, short_names
from nas.report.table import optional, table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ExitSummary:
    """One exit of a method and decoupling over its seeds; errors in percent, seconds of one sample.

    What older rows lack is None, as is the temperature of exits that are not calibrated.
    """

    method: str
    decoupling: str
    depth: int
    mean: float
    std: float | None
    n: int
    params: int
    macs: int
    seconds: float | None
    temperature: float | None
    test_ece: float | None


def summarise_exits(rows: Iterable[Mapping[str, str]]) -> list[ExitSummary]:
    """The rows of each exit as one line, method by method: means over the n seeds, standard deviations with n - 1 below."""
    frame = numbers(rows, "test_error", "depth", "params", "macs", "seconds", "temperature", "test_ece")
    if frame.empty:
        return []
    names = short_names(frame["method"].unique())
    return [
        ExitSummary(
            names[str(method)],
            str(point),
            int(group["depth"].iloc[0]),
            100 * group["test_error"].mean(),
            _std(group),
            len(group),
            int(group["params"].iloc[0]),
            int(group["macs"].iloc[0]),
            *(_mean(group[name]) for name in ("seconds", "temperature", "test_ece")),
        )
        for (method, point, _), group in frame.groupby(["method", "decoupling", "depth"], sort=False)
    ]


@dataclass(frozen=True)
class CurveSummary:
    """Adaptive inference of a method and decoupling by one rule, at the chosen threshold of each seed.

    Errors are in percent; `macs_share` and `speed` are to the full path of the same run, means over the seeds, `speed` of
    those whose exits were timed, None without; `shares` of the samples leave at each depth.
    """

    method: str
    decoupling: str
    rule: str
    mean: float
    std: float | None
    n: int
    macs: float
    macs_share: float
    speed: float | None
    shares: tuple[float, ...]


def summarise_curves(rows: Iterable[Mapping[str, str]], exit_rows: Iterable[Mapping[str, str]]) -> list[CurveSummary]:
    """The chosen points of each rule as one line, method by method; `exit_rows` are those of the same runs."""
    run = ["method", "decoupling", "seed"]
    frame = numbers((row for row in rows if row["chosen"] == "True"), "test_error", "test_macs", "test_seconds")
    if frame.empty:
        return []
    exits = numbers(exit_rows, "depth", "num_blocks", "macs", "seconds")
    names, full = short_names(exits["method"].unique()), exits[exits["depth"] == exits["num_blocks"]][[*run, "macs", "seconds"]]
    frame = frame.merge(full, on=run, validate="many_to_one")
    return [
        CurveSummary(
            names[str(method)],
            str(point),
            str(rule),
            100 * group["test_error"].mean(),
            _std(group),
            len(group),
            group["test_macs"].mean(),
            (group["test_macs"] / group["macs"]).mean(),
            _mean(group["seconds"] / group["test_seconds"]),
            tuple(group["test_shares"].str.split(expand=True).astype(float).mean()),
        )
        for (method, point, rule), group in frame.groupby(["method", "decoupling", "rule"], sort=False)
    ]


def exits_table(exits: Sequence[ExitSummary], width: int | None = None) -> str:
    """The exits as a table; ECE, the expected calibration error, in percent."""
    error, temperature, ece = (COLUMNS[name] for name in ("test_error", "temperature", "test_ece"))
    header = [
        "method",
        "depth",
        error.heading,
        "std",
        "n",
        "params",
        "MACs",
        "us/sample",
        temperature.heading,
        ece.heading,
        "decoupling",
    ]
    lines = [
        [
            s.method,
            str(s.depth),
            f"{s.mean:.2f}",
            optional(s.std),
            str(s.n),
            f"{s.params:,}",
            f"{s.macs:,}",
            optional(s.seconds and 1e6 * s.seconds, 0),
            temperature.show(s.temperature),
            ece.show(s.test_ece),
            short_decoupling(s.decoupling),
        ]
        for s in exits
    ]
    return table(header, lines, width)


def curves_table(curves: Sequence[CurveSummary], width: int | None = None) -> str:
    """Adaptive inference as a table; `left` is the percentage of samples that leave at each depth."""
    header = [
        "method",
        "rule",
        COLUMNS["test_error"].heading,
        "std",
        "n",
        "MACs",
        "% of full",
        "times faster",
        "left",
        "decoupling",
    ]
    lines = [
        [
            s.method,
            s.rule,
            f"{s.mean:.2f}",
            optional(s.std),
            str(s.n),
            f"{s.macs:,.0f}",
            f"{100 * s.macs_share:.0f}",
            optional(s.speed),
            " ".join(f"{100 * share:.0f}" for share in s.shares),
            short_decoupling(s.decoupling),
        ]
        for s in curves
    ]
    return table(header, lines, width)


def _std(group: pd.DataFrame) -> float | None:
    """The standard deviation of the test errors (n - 1 below), in percent; None for a single seed."""
    return 100 * float(group["test_error"].std()) if len(group) > 1 else None


def _mean(column: pd.Series) -> float | None:
    """The mean of the cells that are there; None where none is."""
    return float(column.mean()) if column.notna().any() else None
