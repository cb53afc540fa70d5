"""`--results`: where rows lie and runs are claimed, whatever keeps them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from nas.records.beats import Beats
from nas.records.claim import Claim
from nas.records.heartbeat import Heartbeat
from nas.records.log import Log
from nas.records.results_log import ResultsLog
from nas.records.row_kinds import RowKind
from nas.records.stores.folder import Folder
from nas.records.stores.store import Store
from nas.records.stores.url import is_url, redacted, split_file


class Results:
    """What --results names: a folder of CSV files, or the URL of a PostgreSQL database. Making one reads and writes nothing,
    and it can be sent to other processes. As a text it has no password."""

    def __init__(self, given: str | Path) -> None:
        self._given = str(given) if is_url(str(given)) else str(Path(given))

    def log(self, name: str, kind: RowKind | None = None) -> Log:
        """The log of this name, such as `evaluate.csv`, which need not be there yet."""
        return _store(self._given).log(name, kind)

    def claim(self, folder: Path) -> Claim:
        """The claim on the run whose state lies in this folder; `with` waits for it, `try_take` does not."""
        return _store(self._given).claim(folder)

    def below(self, name: str) -> dict[str, Log]:
        """The logs of this name that are there, by what people may call them; of a folder also those in folders within."""
        return _store(self._given).below(name)

    def names(self) -> list[str]:
        """The names of all logs that are there."""
        return _store(self._given).names()

    def stamp(self) -> object:
        """What tells one state of the rows there from another, without reading them."""
        return _store(self._given).stamp()

    def check(self, runs: Path | None = None) -> None:
        """Raise UserError unless results can lie there. Tell what does not hold between hosts, where runs that are claimed lie in
        the folder `runs`."""
        _store(self._given).check(runs)

    @property
    def place(self) -> str:
        """The folder or the URL as it was given, with its password: for programs, and never shown."""
        return self._given

    @property
    def heartbeat(self) -> Heartbeat:
        """What this process tells the others of itself while it works."""
        return _store(self._given).heartbeat

    @property
    def beats(self) -> Beats:
        """What the processes at work tell."""
        return _store(self._given).beats

    @property
    def folder(self) -> Path:
        """Where files that are no rows go, such as plots."""
        return _store(self._given).folder

    def __str__(self) -> str:
        return redacted(self._given)

    def __repr__(self) -> str:
        return f"Results({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and self._given == other._given

    def __hash__(self) -> int:
        return hash(self._given)


def log_at(place: str | Path, kind: RowKind | None = None) -> Log:
    """The log of a CSV file, or of a URL such as postgresql://host/database/exits.csv; one that names no log is of its
    evaluate.csv."""
    if not is_url(str(place)):
        return ResultsLog(Path(place), kind)
    store, name = split_file(str(place))
    return Results(store).log(name or "evaluate.csv", kind)


def log_beside(place: str | Path, name: str, kind: RowKind | None = None) -> Log:
    """The log of this name in the folder of that CSV file, or in the store of that URL."""
    if not is_url(str(place)):
        return ResultsLog(Path(place).with_name(name), kind)
    return Results(split_file(str(place))[0]).log(name, kind)


@cache
def _store(given: str) -> Store:
    """One for all in this process that name it."""
    if not is_url(given):
        return Folder(Path(given))
    from nas.records.stores.postgres.database import Database

    return Database(given)
