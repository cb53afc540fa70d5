"""The fair table: methods against K for one backbone and task, of rows that may be compared and of no others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from nas.comparable import COUNTS, LINE, RECIPE, SHARED, TIMED_BY, check_comparable, disagree, listed
from nas.report import half_interval, short, short_names, table
from spaces.decoupling import Decoupling

SIDE_BY_SIDE = 3  # decouplings of one method and K in a cell


@dataclass(frozen=True)
class Line:
    """One method on one decoupling over n seeds.

    Errors are in percent, and a run that diverged counts as 100 % wrong. `interval` is half the width of the 95 %
    interval (Student's t), None for one seed. Parameters, and MACs of one image, are those of inference, and those of
    training with its heads. Step seconds and the bound on pipeline speed-up are medians over the seeds, None where
    nothing was measured or where rows were measured in ways that do not compare.
    """

    method: str
    checkpoint_units: bool
    num_blocks: int
    decoupling: str
    test_error: float
    interval: float | None
    n: int
    diverged: int
    params: int
    train_params: int
    macs: int
    train_macs: int
    peak_activation_bytes: int
    step_seconds: float | None
    pipeline_speedup_bound: float | None


@dataclass(frozen=True)
class FairTable:
    """Its lines by K and then by error, the settings that all share, and what else there is to know, a sentence each."""

    shared: dict[str, str]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def fair_table(rows: pd.DataFrame) -> FairTable:
    """The table of rows that `nas.comparable.read_rows` gave; those that cannot be compared are a UserError."""
    check_comparable(rows)
    apart = [column for column in TIMED_BY if disagree(rows[column])]
    names = short_names(rows["method"].unique())
    lines = [_line(line.assign(method=line["method"].map(names)), timed=not apart)
             for _, line in rows.groupby(list(LINE), sort=False)]
    notes = [f"seconds and pipeline bounds are left out: {column} is {listed(rows[column])}" for column in apart]
    notes += [f"{column} is each line's own: {listed(rows[column])}" for column in RECIPE if disagree(rows[column])]
    shared = {column: max(rows[column]) for column in SHARED}  # some rows have empty epochs
    return FairTable(shared, tuple(sorted(lines, key=lambda line: (line.num_blocks, line.test_error))), tuple(notes))


def _line(rows: pd.DataFrame, *, timed: bool) -> Line:
    first, errors = rows.iloc[0], 100 * rows["test_error"].fillna(1.0)
    counts = {column: int(first[column]) for column in COUNTS}
    seconds, bound = (float(rows[column].median()) if timed and rows[column].notna().any() else None
                      for column in ("step_seconds", "pipeline_speedup_bound"))
    return Line(
        method=first["method"], checkpoint_units=first["checkpoint_units"] == "True", num_blocks=counts["num_blocks"],
        decoupling=first["decoupling"], test_error=float(errors.mean()), interval=half_interval(errors), n=len(rows),
        diverged=int((rows["status"] != "ok").sum()), params=counts["params"],
        train_params=counts["params"] + counts["head_params"], macs=counts["macs"],
        train_macs=counts["macs"] + counts["head_macs"], peak_activation_bytes=counts["peak_activation_bytes"],
        step_seconds=seconds, pipeline_speedup_bound=bound,
    )


def written(fair: FairTable) -> str:
    """The table as text: errors of methods against K, then every line with its costs."""
    header = ["K", "method", "test error %", "95 % interval", "n", "params", "in training", "MACs", "in training", "peak MiB",
              "s/step", "pipeline bound", "cuts and heads"]
    lines = [
        [str(line.num_blocks), _name(line), f"{line.test_error:.2f}", _interval(line), str(line.n), f"{line.params:,}",
         f"{line.train_params:,}", f"{line.macs:,}", f"{line.train_macs:,}", f"{line.peak_activation_bytes / 2**20:.1f}",
         "" if line.step_seconds is None else f"{line.step_seconds:.4f}",
         "" if line.pipeline_speedup_bound is None else f"{line.pipeline_speedup_bound:.2f}",
         short_cuts(line.decoupling) + (f"  ({line.diverged} diverged)" if line.diverged else "")]
        for line in fair.lines
    ]
    shared = ", ".join(f"{name} {value}" for name, value in fair.shared.items() if value)
    return "\n".join([shared, "", _against_num_blocks(fair.lines), "", table(header, lines),
                      *(f"note: {note}" for note in fair.notes)])


def as_csv(fair: FairTable) -> str:
    """The lines as CSV, the shared settings in each."""
    return pd.DataFrame([{**asdict(line), **fair.shared} for line in fair.lines]).to_csv(index=False, lineterminator="\n")


def _against_num_blocks(lines: Iterable[Line]) -> str:
    """Test errors in percent with half their 95 % interval, a row a method and a column a K; `/` between decouplings of one
    K, in the table's order, and of many the best and the worst."""
    errors: dict[str, dict[int, list[str]]] = {}
    for line in lines:
        half = "" if line.interval is None else f"±{line.interval:.2f}"
        errors.setdefault(_name(line), {}).setdefault(line.num_blocks, []).append(f"{line.test_error:.2f}{half}")
    counts = sorted({count for row in errors.values() for count in row})
    return table(["test error %, ±95 %", *(f"K={count}" for count in counts)],
                 [[name, *(_cell(row.get(count, [])) for count in counts)] for name, row in errors.items()])


def _cell(errors: Sequence[str]) -> str:
    return " / ".join(errors) if len(errors) <= SIDE_BY_SIDE else f"{errors[0]} .. {errors[-1]} ({len(errors)} decouplings)"


def _name(line: Line) -> str:
    return line.method + (", checkpointed" if line.checkpoint_units else "")


def _interval(line: Line) -> str:
    if line.interval is None:
        return ""
    return f"{max(0.0, line.test_error - line.interval):.2f}..{min(100.0, line.test_error + line.interval):.2f}"


def short_cuts(decoupling: str) -> str:
    """A decoupling with neighbouring cuts as `2-15`, and heads that are all alike written once."""
    point = Decoupling.parse(decoupling)
    if len(set(point.heads)) != 1:
        return short(decoupling)
    runs: list[list[int]] = []
    for cut in point.cuts:
        if not runs or runs[-1][-1] != cut - 1:
            runs.append([])
        runs[-1].append(cut)
    return f"{','.join(_run(run) for run in runs)}:{point.heads[0]}"


def _run(cuts: Sequence[int]) -> str:
    return f"{cuts[0]}-{cuts[-1]}" if len(cuts) > 2 else ",".join(map(str, cuts))
