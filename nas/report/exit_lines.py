"""The lines of the plot of exits: test error against measured cost, means over the seeds of all rows of a task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.records.column import Role
from nas.records.columns import names, tells_runs_apart
from nas.records.frames import numbers
from nas.records.log import each_once
from nas.report.interval import half_interval
from nas.report.short_names import short_decoupling, short_names
from spaces.notation.component import Component

RULE = "max_softmax"  # whose curve is drawn: the usual one, and one for all methods
CHOSEN = {"lr", "schedule"}  # on validation, for each network that is trained alone
Identity = tuple[tuple[str, str], ...]  # settings, by name
WEIGHTS = "weights_digest"  # what came out, which no two runs share
ASKED = ("ensemble", "exits")  # what else the run was asked for, in rows of older versions
PLACE = names(lambda column: column.role is Role.PLACE)  # where on a run's exits or curves


@dataclass(frozen=True)
class Points:
    """Places in the plot, cheapest first: cost of a sample in MACs and in seconds (NaN where not measured), mean test errors
    in percent, and half the width of their 95 % interval, NaN for a single seed."""

    macs: tuple[float, ...]
    seconds: tuple[float, ...]
    errors: tuple[float, ...]
    intervals: tuple[float, ...]


@dataclass(frozen=True)
class ExitLine:
    """A method on a decoupling: where one stops at each exit, and adaptive inference, None unless all seeds have curves that
    share a cost; `rows` are those of its exits."""

    label: str
    static: Points
    adaptive: Points | None
    rows: tuple[Mapping[str, str], ...] = ()


def exit_lines(exit_rows: Iterable[Mapping[str, str]], curve_rows: Iterable[Mapping[str, str]], task: str) -> list[ExitLine]:
    """The lines of all rows of the task, in the order in which they first came.

    Networks with one exit are one line a method, whatever they are cut from: a network for each cost, trained alone, of each
    seed the one whose lr and schedule gave the lowest validation error.
    """
    exits, curves = (_once(row for row in rows if row["task"] == task) for rows in (exit_rows, curve_rows))
    lines: dict[Identity, list[Mapping[str, str]]] = {}
    for row in exits:
        lines.setdefault(_identity(row), []).append(row)
    _join_whole(lines)
    of_curves: dict[Identity, list[Mapping[str, str]]] = {}
    for row in curves:
        if row["rule"] == RULE:
            of_curves.setdefault(_identity(row), []).append(row)
    labels = _labels([dict(key) for key in lines], [len({row["backbone"] for row in own}) for own in lines.values()])
    return [
        ExitLine(label, _static(_tuned(own)), _adaptive(of_curves.get(key, []), {row["seed"] for row in own}), tuple(own))
        for label, (key, own) in zip(labels, lines.items(), strict=True)
    ]


def _once(rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The rows of each place of a run, once, without those of a second training that gave other weights: a seed counts once."""
    first: dict[Identity, str] = {}
    once: dict[tuple[Identity, str], Mapping[str, str]] = {}
    for row in each_once(rows):
        own = tuple(
            sorted(
                (name, cell) for name, cell in row.items() if cell and name not in (WEIGHTS, *ASKED) and tells_runs_apart(name)
            )
        )
        weights = row.get(WEIGHTS, "")
        if first.setdefault(own, weights) == weights:
            once.setdefault((own, " ".join(row.get(name, "") for name in PLACE)), row)
    return list(once.values())


def _identity(row: Mapping[str, str]) -> Identity:
    """The settings that all rows of a line share."""
    own = {name: cell for name, cell in row.items() if cell and name not in ("seed", WEIGHTS, *ASKED) and tells_runs_apart(name)}
    if int(row["num_blocks"]) == 1:
        own = {name: cell for name, cell in own.items() if name not in CHOSEN} | _family(row["backbone"])
    return tuple(sorted(own.items()))


def _family(backbone: str) -> dict[str, str]:
    """Of a backbone that is the first units of another: that one, and the head on the units. A whole backbone is its own."""
    component = Component.parse(backbone)
    if component.name != "prefix":
        return {"backbone": backbone}
    settings = dict(component.settings)
    return {"backbone": str(settings["of"]), "head": str(settings["head"])}


def _join_whole(lines: dict[Identity, list[Mapping[str, str]]]) -> None:
    """Put the rows of a whole network on the lines of its prefixes, of which it is the deepest, whatever head they have."""
    for key in list(lines):
        of_prefixes = [other for other in lines if other != key and tuple(cell for cell in other if cell[0] != "head") == key]
        if of_prefixes:
            whole = lines.pop(key)
            for other in of_prefixes:
                lines[other] += whole


def _labels(keys: Sequence[Mapping[str, str]], backbones: Sequence[int]) -> list[str]:
    """The label of each line: method and decoupling, and the settings in which lines of the same name differ."""
    methods = short_names({key["method"] for key in keys})
    labels = [
        methods[key["method"]] + (", one network a depth" if count > 1 else f" {short_decoupling(key['decoupling'])}")
        for key, count in zip(keys, backbones, strict=True)
    ]
    shown = []
    for label, key in zip(labels, keys, strict=True):
        same = [other for own, other in zip(labels, keys, strict=True) if own == label]
        cells = {name: {other.get(name, "") for other in same} for name in sorted({*key}.union(*same))}
        told = [f"{name}={_short_cell(key.get(name, ''), own)}" for name, own in cells.items() if len(own) > 1]
        shown.append(", ".join([label, *told]))
    return shown


def _short_cell(cell: str, cells: Iterable[str]) -> str:
    """A component without its settings where its name tells it from the others."""
    name = cell.partition("(")[0]
    return cell if any(other != cell and other.partition("(")[0] == name for other in cells) else name


def _tuned(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The rows of a line; of networks with one exit those with the lowest validation error of each backbone and seed, since
    commands with other lr and schedule are on one line."""
    best: dict[tuple[str, str, str], Mapping[str, str]] = {}
    for row in sorted(rows, key=lambda row: -float(row["validation_error"])):
        best[row["backbone"], row["seed"], row["depth"]] = row
    return list(best.values())


def _static(rows: Sequence[Mapping[str, str]]) -> Points:
    """The mean over the seeds of each exit, and half the 95 % interval of the mean (`half_interval`)."""
    frame = numbers(rows, "macs", "seconds", "test_error")
    groups = [group for _, group in frame.groupby(["backbone", "depth"], sort=False)]
    groups.sort(key=lambda group: group["macs"].iloc[0])
    intervals = [half_interval(100 * group["test_error"]) for group in groups]
    macs, seconds = (tuple(float(group[name].mean()) for group in groups) for name in ("macs", "seconds"))
    return Points(
        macs,
        seconds,
        tuple(100 * float(group["test_error"].mean()) for group in groups),
        tuple(math.nan if interval is None else interval for interval in intervals),
    )


def _adaptive(rows: Sequence[Mapping[str, str]], wanted: set[str]) -> Points | None:
    """The mean curve over the `wanted` seeds: each seed's, between its thresholds on a straight line over log MACs, at common
    places; None where there are no such places, or a seed has no curve.

    Thresholds are a seed's own, so no two seeds have the same.
    """
    if {row["seed"] for row in rows} != wanted:
        return None
    frame = numbers(rows, "test_macs", "test_seconds", "test_error")
    seeds = [group.sort_values("test_macs") for _, group in frame.groupby("seed", sort=False)]
    starts, ends = ([np.log(group["test_macs"].iloc[i]) for group in seeds] for i in (0, -1))
    if max(starts) > min(ends):
        return None
    places = np.linspace(max(starts), min(ends), 30)
    seconds, errors = (
        np.mean([np.interp(places, np.log(group["test_macs"]), group[name]) for group in seeds], axis=0)
        for name in ("test_seconds", "test_error")
    )
    return Points(tuple(np.exp(places)), tuple(seconds), tuple(100 * errors), (math.nan,) * len(places))
