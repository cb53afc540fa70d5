"""The fair table: methods against K for one backbone and task, of rows that may be compared and of no others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from textwrap import wrap
from typing import Any

import numpy as np

from nas.records.cell_types import FLOAT
from nas.records.column import Column, Role
from nas.records.columns import COLUMNS, COUNTS, names
from nas.records.spreadsheet import csv_text
from nas.records.status import DIVERGED, KILLED, OUT_OF_MEMORY, count_of
from nas.report.comparable import ADAPTED, FIGURES, SHARED, TIMED_BY, Row, check_comparable, disagree, lines_of, listed
from nas.report.interval import half_interval
from nas.report.published import Beside, Papers, Unmatched
from nas.report.short_names import short_cuts, short_decoupling, short_heads, short_names
from nas.report.summary import failed_note, failures
from nas.report.table import laid, table
from spaces.decoupling import UNCUT, Decoupling
from spaces.notation.component import Component
from spaces.notation.errors import UserError, unknown

RECIPE = names(lambda column: column.role is Role.RECIPE)
MORE = names(
    lambda column: column.role is Role.FIGURE and column.type.is_number and not column.tabled and "evaluate" in column.files
)  # figures that a table has where they are asked for
COSTS = ("test_error", "params", "macs", "peak_activation_bytes", "step_seconds", "pipeline_speedup_bound")
SIDE_BY_SIDE = 3  # decouplings of one method and K in a cell


@dataclass(frozen=True)
class Line:
    """One method on one decoupling over n seeds.

    Errors are means in percent, and a run that failed counts as 100 % wrong. `interval` is half the width of the 95 % interval of
    the mean (`half_interval`), None for one seed. `grow`, `side` and `extends` are empty where there are none. Parameters, and
    MACs of one sample, are those of inference, and those of training with its heads. Step seconds and the bound on pipeline
    speed-up are medians over the seeds, None where nothing was measured or where rows were measured in ways that do not compare.
    `figures` are those that were asked for, by column, the mean over the seeds that have them, None where none has. `published`
    is what papers print for the like, None where it was not asked for, or where they print nothing of this network and task.
    """

    method: str
    checkpoint_units: bool
    grow: str
    side: str
    extends: str
    num_blocks: int
    decoupling: str
    test_error: float
    interval: float | None
    n: int
    diverged: int
    out_of_memory: int
    killed: int
    params: int
    train_params: int
    macs: int
    train_macs: int
    peak_activation_bytes: int
    step_seconds: float | None
    pipeline_speedup_bound: float | None
    figures: dict[str, float | None]
    published: Beside | None = None


@dataclass(frozen=True)
class FairTable:
    """Its lines by K and then by error, the settings that all share, and what else there is to know, a sentence each;
    `unmatched` are the published values that are beside no line, where they were asked for."""

    shared: dict[str, str]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    unmatched: tuple[Unmatched, ...] | None = None


def fair_table(rows: Sequence[Row], figures: Sequence[str] = (), *, published: bool = False) -> FairTable:
    """The table of rows that `nas.report.comparable.read_rows` gave; those that cannot be compared are a UserError.

    `figures` are what it is to have beside the usual ones: columns of `MORE`, or a user's own. One that no row has, and one
    that is no number, is a UserError. With `published` the values of papers stand beside.
    """
    return fair_table_and_rows(rows, figures, published=published)[0]


def fair_table_and_rows(
    rows: Sequence[Row], figures: Sequence[str] = (), *, published: bool = False
) -> tuple[FairTable, list[list[Row]]]:
    """The table, and the rows of each of its lines."""
    check_comparable(rows)
    rows = _with_figures(rows, figures)
    apart = [column for column in TIMED_BY if disagree(rows, column)]
    methods = short_names({row["method"]: None for row in rows})
    papers = Papers(rows) if published else None
    pairs = [
        (
            replace(
                _line(of_line, methods[of_line[0]["method"]], figures, timed=not apart),
                published=papers.beside(of_line) if papers and papers.values else None,
            ),
            of_line,
        )
        for of_line in lines_of(rows)
    ]
    notes = [f"seconds and pipeline bounds are left out: {column} is {listed(row[column] for row in rows)}" for column in apart]
    notes += [
        f"{column} is each line's own: {listed(row[column] for row in rows)}" for column in RECIPE if disagree(rows, column)
    ]
    smoothing = {method: _label_smoothing(method) for method in methods}
    if len(set(smoothing.values())) > 1:
        notes.append(f"label_smoothing is each line's own: {listed(smoothing[row['method']] for row in rows)}")
    undigested = sum(row["data_digest"] == "" for row in rows)
    if 0 < undigested < len(rows):
        notes.append(
            f"{undigested} of {len(rows)} rows are of an older version without a digest of their data: only their task "
            "says that the data is the others'"
        )
    alike = [column for column in ADAPTED if not disagree(rows, column)]
    shared = {column: max(row[column] for row in rows) for column in (*SHARED, *alike)}  # some rows have empty epochs
    pairs.sort(key=lambda pair: (pair[0].num_blocks, pair[0].test_error))
    lines = [line for line, _ in pairs]
    failed = [line for line in lines if failures(line)]
    if note := failed_note(failed, [f"{line_name(line, shared)} {short_decoupling(line.decoupling)}" for line in failed]):
        notes.append(note)
    if papers is not None:
        notes += papers.notes()
    fair = FairTable(shared, tuple(lines), tuple(notes), None if papers is None else papers.unmatched())
    return fair, [of_line for _, of_line in pairs]


def _with_figures(rows: Sequence[Row], names: Sequence[str]) -> Sequence[Row]:
    """The rows with the cells of these figures as numbers, NaN where they are empty."""
    read = {name: _figure(rows, name) for name in names}
    return [row | {name: read[name][number] for name in names} for number, row in enumerate(rows)] if names else rows


def _figure(rows: Sequence[Row], name: str) -> list[float]:
    """The cells of a figure as numbers, NaN where they are empty."""
    if name in FIGURES:
        raise UserError(f"--figures names what the table has not yet, got {name}; leave it out")
    there = rows[0] if rows else {}
    if name not in MORE and (name in COLUMNS or name not in there):
        raise unknown("figure", name, [*MORE, *(column for column in there if column not in COLUMNS)])
    if name not in there or all(row[name] == "" for row in rows):
        raise UserError(f"a figure of a table is in some row, got {name}, which all rows leave empty; leave it out")
    try:
        return [float(row[name] or "nan") for row in rows]
    except ValueError as error:
        raise UserError(f"a figure is a number, got column {name} ({error}); leave it out") from None


def figure_column(name: str) -> Column:
    """What is known of a figure's column; of a user's own only its name."""
    return COLUMNS.get(name) or Column(name, Role.FIGURE, ("evaluate",), "A user's own figure.", FLOAT)


def _label_smoothing(method: str) -> str:
    """That of the method or of the one inside it, as text; empty for a method of another kind."""
    settings = dict(Component.parse(method).settings)
    return _label_smoothing(settings["base"]) if "base" in settings else str(settings.get("label_smoothing", ""))


def _line(rows: Sequence[Row], method: str, figures: Sequence[str], *, timed: bool) -> Line:
    first, errors = rows[0], [100 * (1.0 if math.isnan(row["test_error"]) else row["test_error"]) for row in rows]
    counts = {column: int(first[column]) for column in COUNTS}
    seconds, bound = (_median(rows, column) if timed else None for column in ("step_seconds", "pipeline_speedup_bound"))
    statuses = [row["status"] for row in rows]
    return Line(
        method=method,
        checkpoint_units=first["checkpoint_units"] == "True",
        **{column: first[column] for column in ADAPTED},
        num_blocks=counts["num_blocks"],
        decoupling=first["decoupling"],
        test_error=float(np.mean(errors)),
        interval=half_interval(errors),
        n=len(rows),
        diverged=count_of(DIVERGED, statuses),
        out_of_memory=count_of(OUT_OF_MEMORY, statuses),
        killed=count_of(KILLED, statuses),
        params=counts["params"],
        train_params=counts["params"] + counts["head_params"],
        macs=counts["macs"],
        train_macs=counts["macs"] + counts["head_macs"],
        peak_activation_bytes=counts["peak_activation_bytes"],
        step_seconds=seconds,
        pipeline_speedup_bound=bound,
        figures={name: float(np.mean(there)) if (there := _there(rows, name)) else None for name in figures},
    )


def _there(rows: Sequence[Row], column: str) -> list[float]:
    """The numbers of the column that are there."""
    return [row[column] for row in rows if not math.isnan(row[column])]


def _median(rows: Sequence[Row], column: str) -> float | None:
    """Of the numbers that are there; None where none is."""
    return float(median(there)) if (there := _there(rows, column)) else None


def written(fair: FairTable, width: int | None = None) -> str:
    """The table as text: errors of methods against K, then the costs of every line, those of the same cuts together; within
    `width` columns, or None for as many as it needs."""
    text_width = min(WIDTH, width or WIDTH)
    error, params, macs, peak, step, bound = (COLUMNS[name].heading for name in COSTS)
    more = [figure_column(name).heading for name in (fair.lines[0].figures if fair.lines else ())]
    header = ["method", error, "n", params, "training", macs, "training", peak, step, bound, *more, "heads"]
    points = [Decoupling.parse(line.decoupling) for line in fair.lines]
    headings = [_heading(line.num_blocks, point) for line, point in zip(fair.lines, points, strict=True)]
    best = {headings[i]: i for i in reversed(range(len(points)))}
    order = sorted(range(len(points)), key=lambda i: (best[headings[i]], i))  # lines stand by K and error
    cells = [line_cells(line, point, fair.shared) for line, point in zip(fair.lines, points, strict=True)]
    shown = laid(header, [cells[i] for i in order], width)
    costs, said = [*shown.above, *shown.head], set[str]()
    for place, row in zip(order, shown.rows, strict=True):
        costs += [] if headings[place] in said else wrap(headings[place], width or len(headings[place]), break_on_hyphens=False)
        costs += row
        said.add(headings[place])
    kept = "\u00a0"  # a space at which `wrap` breaks no line
    shared = ", ".join(f"{name}{kept}{value}" for name, value in fair.shared.items() if value)
    return "\n".join(
        [
            *(line.replace(kept, " ") for line in wrap(shared, text_width, break_on_hyphens=False)),
            "",
            _against_num_blocks(fair, width),
            "",
            *costs,
            "",
            *_published(fair, width),
            *wrap(LEGEND, text_width),
            *(line for note in fair.notes for line in wrap(f"note: {note}", text_width, subsequent_indent="      ")),
        ]
    )


WIDTH = 110
LEGEND = (
    "test error: mean, and half its 95 % interval, over n seeds. Parameters (thousands) and MACs (millions, of one "
    "sample): of inference, then of training with the heads. bound: what a pipeline of the blocks can gain at most."
)


def _heading(num_blocks: int, point: Decoupling) -> str:
    """K and the cuts; where gradients cross them, as when all blocks learn together, they are exits."""
    return f"K={num_blocks}, " + (f"{'cut' if num_blocks > 1 else 'exits'} after {short_cuts(point)}" if point.cuts else UNCUT)


def line_cells(line: Line, point: Decoupling, shared: Mapping[str, str]) -> list[str]:
    """What the table has of a line below its K and cuts: method, error, n, costs, figures that were asked for, heads."""
    _, params, macs, peak, step, bound = (COLUMNS[name] for name in COSTS)
    return [
        line_name(line, shared),
        _error(line),
        str(line.n),
        params.show(line.params),
        params.show(line.train_params),
        macs.show(line.macs),
        macs.show(line.train_macs),
        peak.show(line.peak_activation_bytes),
        step.show(line.step_seconds),
        bound.show(line.pipeline_speedup_bound),
        *(figure_column(name).show(value) for name, value in line.figures.items()),
        (short_heads(point) if point.heads else "") + (f"  ({failures(line)})" if failures(line) else ""),
    ]


def _published(fair: FairTable, width: int | None) -> list[str]:
    """Lines beside what papers print. What differs is said once for all lines that differ so, and so is what differs in all; a
    note says which values are beside no line."""
    if fair.unmatched is None or all(line.published is None for line in fair.lines):
        return []
    letters, said = differences_told(fair)
    rows = []
    for line, letter in zip(fair.lines, letters, strict=True):
        if (one := line.published) is None:
            continue
        cuts = short_cuts(Decoupling.parse(line.decoupling))
        start = [line_name(line, fair.shared), str(line.num_blocks), cuts, _error(line)]
        if one.test_error is None:
            rows.append([*start, "", "", "", one.why])
        else:
            rows.append([*start, published_error(one), f"{line.test_error - one.test_error:+.2f}", letter, one.source])
    header = ["method", "K", "cuts", "ours %", "published ±sd", "off", "differs", "from"]
    lines = ["published values, and the settings in which ours differ (theirs in brackets)", table(header, rows, width)]
    text_width = min(WIDTH, width or WIDTH)
    for name, own in said.items():
        lines += wrap(f"{name}: {own}", text_width, subsequent_indent=" " * (len(name) + 2), break_on_hyphens=False)
    if fair.unmatched:
        values = ", ".join(f"{one.method} K={one.num_blocks} {one.test_error:.2f} ({one.source})" for one in fair.unmatched)
        lines += wrap(f"published, and beside no line: {values}", text_width, subsequent_indent="  ", break_on_hyphens=False)
    return [*lines, ""]


def published_error(one: Beside) -> str:
    """A published error with its standard deviation; nothing where there is none."""
    return "" if one.test_error is None else f"{one.test_error:.2f}" + ("" if one.std is None else f"±{one.std:.2f}")


def differences_told(fair: FairTable) -> tuple[list[str], dict[str, str]]:
    """A letter for each line whose settings differ from those of the published value beside it, and what each letter means; `all`
    is what differs in all of several."""
    valued = [line.published.differs for line in fair.lines if line.published and line.published.test_error is not None]
    in_all = [said for said in valued[0] if all(said in differs for differs in valued)] if len(valued) > 1 else []
    letters: dict[str, str] = {}
    of_lines = []
    for line in fair.lines:
        own = "; ".join(said for said in line.published.differs if said not in in_all) if line.published else ""
        of_lines.append(letters.setdefault(own, _letter(len(letters))) if own else "")
    said = {letter: own for own, letter in letters.items()}
    return of_lines, {"all": "; ".join(in_all), **said} if in_all else said


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    return ("" if number < 26 else _letter(number // 26 - 1)) + "abcdefghijklmnopqrstuvwxyz"[number % 26]


def as_csv(fair: FairTable) -> str:
    """The lines as CSV, the shared settings in each; no cell is a formula."""
    return csv_text([{**line, **fair.shared} for line in plain(fair)["lines"]])


def plain(fair: FairTable) -> dict[str, Any]:
    """The table as plain data, for JSON; what was asked for, figures and published values, stands in each line as the rest."""
    lines = [asdict(line) for line in fair.lines]
    for line in lines:
        line |= line.pop("figures")
        if (published := line.pop("published")) is not None:
            line |= {f"published_{name}": value for name, value in published.items()}
            line["published_differs"] = "; ".join(published["differs"])
    facts = {"shared": fair.shared, "lines": lines, "notes": fair.notes}
    return facts if fair.unmatched is None else facts | {"unmatched": [asdict(one) for one in fair.unmatched]}


def _against_num_blocks(fair: FairTable, width: int | None) -> str:
    """Test errors in percent with half their 95 % interval, a row a method and a column a K; `/` between decouplings of one
    K, in the table's order, and of many the best and the worst."""
    errors: dict[str, dict[int, list[str]]] = {}
    for line in fair.lines:
        errors.setdefault(line_name(line, fair.shared), {}).setdefault(line.num_blocks, []).append(_error(line))
    counts = sorted({count for row in errors.values() for count in row})
    return table(
        ["test error %, ±95 %", *(f"K={count}" for count in counts), ""],
        [[name, *(_cell(row.get(count, [])) for count in counts), ""] for name, row in errors.items()],
        width,
    )


def _cell(errors: Sequence[str]) -> str:
    return " / ".join(errors) if len(errors) <= SIDE_BY_SIDE else f"{errors[0]} .. {errors[-1]} ({len(errors)} decouplings)"


def line_name(line: Line, shared: Mapping[str, str]) -> str:
    """The method, and what tells the line from others of it; what all lines share stands above the table."""
    own = [f"{name}={value}" for name in ADAPTED if name not in shared and (value := getattr(line, name))]
    return ", ".join([line.method, *(["checkpointed"] if line.checkpoint_units else []), *own])


def _error(line: Line) -> str:
    return f"{line.test_error:.2f}" + ("" if line.interval is None else f"±{line.interval:.2f}")
