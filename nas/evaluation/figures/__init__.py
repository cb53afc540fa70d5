"""Figures that are measured while a run trains: one a file, which has the name of its column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module

from nas.evaluation.figures.training_run import TrainingRun
from nas.notice import notice
from nas.records.columns import COLUMNS, names
from nas.records.log import Cell
from nas.records.status import OK
from spaces.notation.errors import UserError
from spaces.notation.table import Table

Reading = Callable[[], Cell]
ALWAYS = names(lambda column: column.measured == "always")
ASKED = names(lambda column: column.measured == "asked")

FIGURES: Table[AbstractContextManager[Reading]] = Table(
    "figure",
    {name: getattr(import_module(f"{__name__}.{name}"), name) for name in (*ALWAYS, *ASKED)},
    makes=AbstractContextManager,
)


def checked_figures(asked: Sequence[str]) -> tuple[str, ...]:
    """The figures that were asked for, each once, with their settings. UserError for one that is measured anyway, or of whose
    name there is another column."""
    figures = tuple(dict.fromkeys(str(FIGURES.resolve(figure)) for figure in asked))
    columns = [_column(figure) for figure in figures]
    for figure, column in zip(figures, columns, strict=True):
        if column in ALWAYS:
            raise UserError(f"what is asked for is not measured anyway, got {figure}; leave it out")
        if columns.count(column) > 1 or (column in COLUMNS and column not in ASKED):
            raise UserError(f"a figure has a column of its own, got a second {column}; give it another name")
    return figures


@contextmanager
def measured(asked: Sequence[str], run: TrainingRun) -> Iterator[Callable[[], dict[str, Cell]]]:
    """Train inside, then call what is given for the cells: of all that is always measured, and of what was asked for."""
    with ExitStack() as stack:
        readings = {_column(figure): stack.enter_context(FIGURES.build(figure, run)) for figure in (*ALWAYS, *asked)}
        yield lambda: {column: reading() for column, reading in readings.items()}


def notice_empty(rows: Iterable[Mapping[str, str]], asked: Sequence[str]) -> None:
    """Say of how many rows that ended well a figure is not there that was asked for."""
    rows = [row for row in rows if row["status"] == OK]
    for column in map(_column, asked):
        if empty := sum(not row.get(column) for row in rows):
            notice(
                f"{column} is empty in {empty} of {len(rows)} rows: it is measured while a run trains from its beginning, "
                "on a machine that can"
            )


def _column(figure: str) -> str:
    """The column of a figure: its name, without the module of a user's own."""
    return figure.partition("(")[0].replace(":", ".").rpartition(".")[2]
