"""What charts are made of: the rows of all results that were given, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nas.charts.look import Look, looks
from nas.records.attempts import standing_rows
from nas.records.column import File
from nas.records.log import Log, each_once
from nas.records.results import Results, log_at
from nas.records.row_kinds import ALPHA_BETA, CURVES, DECISIONS, EXITS, HISTORY, RUNS, TRIALS, RowKind
from nas.records.status import OK
from nas.records.stores.url import is_url, redacted, split_file
from nas.report.comparable import holds, listed, wanted_cells
from nas.report.fair_tables import Table, fair_tables, key_of
from nas.report.short_names import short_names
from spaces.notation.errors import UserError, one_line

Row = Mapping[str, str]
KINDS: dict[File, RowKind] = {
    "evaluate": RUNS,
    "search": RUNS,
    "history": HISTORY,
    "exits": EXITS,
    "curves": CURVES,
    "trials": TRIALS,
    "decisions": DECISIONS,
    "alpha_beta": ALPHA_BETA,
}
TOLD = ("cut_margin", "meta_step", "threshold", "depth", "number", "training")  # a column that only one kind of file has,
OF_TOLD: tuple[File, ...] = ("decisions", "alpha_beta", "curves", "exits", "trials", "history")  # and which one that is
SHOWN = 5  # warnings of one file that are told one by one


@dataclass(frozen=True)
class Source:
    """A file, or what a store has of one name, that was read."""

    where: str
    kind: File
    rows: int


@dataclass(frozen=True)
class Given:
    """The rows of results by the kind of file that they are of, each once, as text; where they were read, and `warnings`, a
    sentence each, of what could not be."""

    sources: tuple[Source, ...] = ()
    evaluate: Sequence[Row] = ()
    search: Sequence[Row] = ()
    history: Sequence[Row] = ()
    exits: Sequence[Row] = ()
    curves: Sequence[Row] = ()
    trials: Sequence[Row] = ()
    decisions: Sequence[Row] = ()
    alpha_beta: Sequence[Row] = ()
    warnings: tuple[str, ...] = field(default=())

    @cached_property
    def _tables(self) -> tuple[tuple[Table, ...], list[str]]:
        tested = [row for row in self.evaluate if row.get("test_error") or row.get("status") != OK]
        tables, refused = fair_tables(tested)
        if untested := len(self.evaluate) - len(tested):
            refused = [f"{untested} rows of evaluate have status ok and no test_error, and are in no table", *refused]
        return tables, refused

    @property
    def tables(self) -> tuple[Table, ...]:
        """The fair tables of the rows of evaluate; the charts' numbers are theirs."""
        return self._tables[0]

    @property
    def refused(self) -> tuple[str, ...]:
        """What the fair tables would not compare, and why, a sentence each."""
        return tuple(self._tables[1])

    @cached_property
    def looks(self) -> dict[str, Look]:
        """The colour and the marker of each series that charts of tables have, by its name: one all over."""
        return looks(dict.fromkeys(line.label for table in self.tables for line in table.lines))

    @cached_property
    def short_methods(self) -> dict[str, str]:
        """The short name of each method in any row."""
        kinds = (self.evaluate, self.search, self.history, self.exits, self.curves, self.trials)
        return short_names(dict.fromkeys(row["method"] for rows in kinds for row in rows if row.get("method")))

    @cached_property
    def runs(self) -> dict[str, Row]:
        """The rows of runs by their names, those of evaluate before those of search."""
        return {row["run"]: row for rows in (self.search, self.evaluate) for row in rows if row.get("run")}

    @cached_property
    def keys(self) -> dict[str, str]:
        """The key of the line of the fair table that each run of evaluate is of, by the run's name."""
        return {row["run"]: key_of(row) for row in self.evaluate if row.get("run")}

    def is_empty(self) -> bool:
        """Whether no row was read."""
        return not any(source.rows for source in self.sources)


def read_given(places: Iterable[str | Path], conditions: Sequence[str] = ()) -> Given:
    """The rows at these places: folders, CSV files, or URLs of stores and of their logs. Rows that lack the column of
    a `column=value` go with those of their runs.

    A file that cannot be read, and a row, is a warning; a place that is not there has no rows. A condition that no row meets is
    a UserError.
    """
    rows: dict[File, list[Row]] = {kind: [] for kind in KINDS}
    sources, warnings = [], []
    for place in dict.fromkeys(map(str, places)):
        try:
            logs = _logs(place)
        except UserError as error:
            warnings.append(str(error))
            continue
        for kind, log in logs:
            read, wrong = _read(log, kind)
            sources.append(Source(redacted(log.where), kind, len(read)))
            rows[kind] += read
            warnings += wrong
    once: dict[File, list[Row]] = {kind: list(each_once(of_kind)) for kind, of_kind in rows.items()}
    for kind in ("evaluate", "search"):
        once[kind] = list(standing_rows([dict(row) for row in once[kind]]))
    return Given(tuple(sources), **_narrowed(once, conditions), warnings=tuple(warnings))


def _logs(place: str) -> list[tuple[File, Log]]:
    """The logs at a place and what each has."""
    if is_url(place):
        store, name = split_file(place)
        results = Results(store)
        return [(_kind(log), log) for log in [results.log(name)]] if name else _known(results)
    if place.endswith(".csv") or Path(place).is_file():
        log = log_at(place)
        return [(_kind(log), log)]
    return _known(Results(place))


def _known(results: Results) -> list[tuple[File, Log]]:
    there = results.names()
    return [(kind, results.log(f"{kind}.csv")) for kind in KINDS if f"{kind}.csv" in there]


def _kind(log: Log) -> File:
    """What a file that was named holds, by its columns, whatever it is called."""
    rows = log.rows()
    if not rows:
        raise UserError(f"{redacted(log.where)} has no rows or is not there")
    for column, kind in zip(TOLD, OF_TOLD, strict=True):
        if not KINDS[kind].lacks(list(rows[0])) and column in rows[0]:
            return kind
    if lacks := RUNS.lacks(list(rows[0])):
        raise UserError(f"a file of results is one of {', '.join(KINDS)}, but {log.where} has no column {lacks[0]}")
    return "evaluate" if any(row.get("test_error") for row in rows) or "test_error" in rows[0] else "search"


def _read(log: Log, kind: File) -> tuple[list[Row], list[str]]:
    """The rows that hold what such rows hold, and what is wrong with the others."""
    try:
        found = log.rows()
    except UserError as error:
        return [], [redacted(str(error))]
    if found and (lacks := KINDS[kind].lacks(list(found[0]))):
        return [], [f"{redacted(log.where)}: every {KINDS[kind].name} has {', '.join(lacks[:4])}, got no such column"]
    rows: list[Row] = []
    wrong = []
    for number, row in enumerate(found):
        try:
            rows.append(KINDS[kind].read(row))
        except ValueError as error:
            wrong.append(f"left out: {redacted(log.row_at(number))}: {one_line(str(error))}")
    more = len(wrong) - SHOWN
    return rows, wrong[:SHOWN] + (
        [f"left out: {more} more rows of {redacted(log.where)} that cannot be read"] if more > 0 else []
    )


def _narrowed(rows: dict[File, list[Row]], conditions: Sequence[str]) -> dict[File, list[Row]]:
    """The rows in which every condition holds."""
    columns = dict.fromkeys(column for of_kind in rows.values() for row in of_kind for column in row) if conditions else ()
    for column, values in wanted_cells(conditions, columns).items():
        have: list[File] = [kind for kind, of_kind in rows.items() if of_kind and column in of_kind[0]]
        kept = {kind: [row for row in rows[kind] if holds(row.get(column, ""), values)] for kind in have}
        if not any(kept.values()):
            there = listed(row.get(column, "") for kind in have for row in rows[kind])
            raise UserError(f"no row is left where {column}={' or '.join(values)}; there, {column} is {there}")
        gone = _runs_of(rows[kind] for kind in have) - _runs_of(kept.values())
        rows = {
            kind: kept[kind] if kind in kept else [row for row in of_kind if row.get("run") not in gone]
            for kind, of_kind in rows.items()
        }
    return rows


def _runs_of(kinds: Iterable[Sequence[Row]]) -> set[str]:
    """The names of runs and searches in rows."""
    return {row[name] for of_kind in kinds for row in of_kind for name in ("run", "search") if row.get(name)}
