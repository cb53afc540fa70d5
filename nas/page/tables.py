"""The fair tables as the page takes them: columns, and of each line raw numbers for sorting and texts for reading."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nas.page.pool import Pool
from nas.records.columns import COLUMNS
from nas.report.comparable import ADAPTED
from nas.report.fair_table import Line
from nas.report.fair_tables import ShownLine, Table
from nas.report.paper_table import is_best
from nas.report.short_names import short_decoupling
from nas.report.summary import failures

_FRACTION = re.compile(r"\d{1,6}\.\d+")
ABOUT = (
    "A line is one method on one decoupling. Errors are means over n seeds with half their 95 % interval, and a run that failed "
    "counts as 100 % wrong. Only rows that may be compared stand in one table. In bold is the lowest error of its K whose "
    "interval overlaps no other's."
)


def tables_of(tables: Sequence[Table], pool: Pool) -> list[dict[str, Any]]:
    """The tables, in their order; one of several is called by what tells it apart."""
    return [_table(one, pool) for one in tables]


def error_text(line: Line) -> str:
    """Its test error as `compare` has it, in percent."""
    return f"{line.test_error:.2f}" + ("" if line.interval is None else f" ± {line.interval:.2f}")


def _table(one: Table, pool: Pool) -> dict[str, Any]:
    columns = _columns(one)
    best = {id(line) for line in _best(one.fair.lines)}
    return {
        "name": one.name,
        "title": one.title or "All rows",
        "shared": [
            (name.replace("_", " "), _read(value))
            for name, value in one.fair.shared.items()
            if value and not name.endswith("_digest")
        ],
        "columns": columns,
        "lines": [_line(line, columns, pool) | {"best": id(line.line) in best} for line in one.lines],
        "notes": list(one.fair.notes),
    }


def _read(cell: str) -> str:
    """A number of many digits as people read it, such as 1.5 of 1.499288762446657; any other cell as it is."""
    return f"{float(cell):.4g}" if _FRACTION.fullmatch(cell) else cell


def _best(lines: Sequence[Line]) -> list[Line]:
    """Of each K the line that tables for papers have in bold, where there is one."""
    of_counts: dict[int, list[Line]] = {}
    for line in lines:
        of_counts.setdefault(line.num_blocks, []).append(line)
    lowest = [(min(own, key=lambda line: line.test_error), own) for own in of_counts.values()]
    return [line for line, own in lowest if is_best(line, own)]


def _columns(one: Table) -> list[dict[str, Any]]:
    lines = one.fair.lines
    apart = [name for name in ADAPTED if name not in one.fair.shared and any(getattr(line, name) for line in lines)]
    return [
        _column("method", "method"),
        _column("num_blocks", "K", numeric=True, about="blocks that no gradient joins"),
        _column("test_error", "test error", "%", numeric=True, spread=True, about="mean, and half its 95 % interval"),
        _column("n", "n", numeric=True, about="seeds"),
        _column("decoupling", "cuts and heads", long=True, about="units before each cut, and the head there"),
        _measure("peak_activation_bytes", about="of activations in a training step"),
        _measure("step_seconds", label="step", about="median time of a training step"),
        _column("pipeline_speedup_bound", "bound", numeric=True, about="what a pipeline of the blocks can gain at most"),
        _measure("macs", about="of one sample at inference"),
        _measure("macs", key="train_macs", label="training MACs", about="with the heads"),
        _measure("params", hidden=True, about="at inference"),
        _measure("params", key="train_params", label="training params", hidden=True, about="with the heads"),
        _column("interval", "95 % interval", "%", numeric=True, hidden=True, about="half its width"),
        _column("failed", "failed", hidden=not any(map(failures, lines)), about="runs that did not end well"),
        *([_column("checkpoint_units", "checkpointed")] if any(line.checkpoint_units for line in lines) else []),
        *(_column(name, name) for name in apart),
        *(
            _measure(name) if name in COLUMNS else _column(name, name, numeric=True)
            for name in (lines[0].figures if lines else ())
        ),
        _column("full_method", "method in full", long=True, hidden=True),
        _column("full_decoupling", "decoupling in full", long=True, hidden=True),
        _column("command", "command", long=True, hidden=True),
    ]


def _column(key: str, label: str, unit: str = "", **more: Any) -> dict[str, Any]:
    return {"key": key, "label": label, "unit": unit, "about": "", "numeric": False, "hidden": False, **more}


def _measure(name: str, *, key: str = "", label: str = "", **more: Any) -> dict[str, Any]:
    """A column of a figure that results files have."""
    column = COLUMNS[name]
    return _column(
        key or name, label or column.short or name.replace("_", " "), column.shown.unit or column.unit, numeric=True, **more
    )


def _line(one: ShownLine, columns: Sequence[Mapping[str, Any]], pool: Pool) -> dict[str, Any]:
    line = one.line
    given: dict[str, Any] = {
        "method": one.label,
        "full_method": one.rows[0]["method"],
        "full_decoupling": line.decoupling,
        "decoupling": short_decoupling(line.decoupling),
        "failed": failures(line),
        "command": one.command,
        "checkpoint_units": "yes" if line.checkpoint_units else "",
        **line.figures,
    }
    cells = [given.get(column["key"], getattr(line, column["key"], None)) for column in columns]
    interval = line.interval
    seeds = f"{line.n} seed{'s' if line.n > 1 else ''}"
    return {
        "group": pool.number(one.key),
        "label": f"{one.label} on {given['decoupling']}\ntest error {error_text(line)} %, {seeds}",
        "command": pool.number(one.command),
        "cells": [pool.cell(cell) for cell in cells],
        "shown": [_shown(column["key"], cell, line) for column, cell in zip(columns, cells, strict=True)],
        "low": None if interval is None else line.test_error - interval,
        "high": None if interval is None else line.test_error + interval,
    }


def _shown(key: str, cell: Any, line: Line) -> str | None:
    """The text of a number; None where the cell is its own text."""
    if key == "test_error":
        return error_text(line)
    if not isinstance(cell, float | int) or isinstance(cell, bool):
        return None
    if math.isnan(cell):
        return ""
    if key in ("n", "num_blocks"):
        return str(cell)
    if key == "interval":
        return f"{cell:.2f}"
    column = COLUMNS.get(key.removeprefix("train_"))
    return column.show(cell) if column else f"{cell:g}"
