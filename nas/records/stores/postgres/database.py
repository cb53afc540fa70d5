"""A PostgreSQL database, shared by the processes of many hosts."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from nas.records.beats import Beats
from nas.records.claim import Claim
from nas.records.log import Log
from nas.records.row_kinds import RowKind
from nas.records.stores.postgres.postgres_beats import PostgresBeats
from nas.records.stores.postgres.postgres_claim import PostgresClaim
from nas.records.stores.postgres.postgres_log import LOGS, PostgresLog
from nas.records.stores.postgres.session import Connection, Session
from nas.records.stores.store import Store


class Database(Store):
    """A table for each log, an advisory lock for each run that is claimed, and a table of what processes are at."""

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def session(self) -> Session:
        """The connection, which is made when something is asked."""
        return Session(self.url)

    def log(self, name: str, kind: RowKind | None = None) -> Log:
        return PostgresLog(self.session, name, kind)

    def claim(self, folder: Path) -> Claim:
        return PostgresClaim(self.session, folder)

    def below(self, name: str) -> dict[str, Log]:
        log = PostgresLog(self.session, name)
        return {name: log} if log.is_there() else {}

    def names(self) -> list[str]:
        return self.session(self._names)

    @staticmethod
    def _names(connection: Connection) -> list[str]:
        import psycopg

        try:
            return [f"{name}.csv" for (name,) in connection.execute(f"SELECT name FROM {LOGS} ORDER BY name")]
        except psycopg.errors.UndefinedTable:  # nothing was written yet
            return []

    def stamp(self) -> object:
        return tuple((name, PostgresLog(self.session, name).stamp()) for name in self.names())

    @property
    def beats(self) -> Beats:
        return PostgresBeats(self.session)

    def check(self, runs: Path | None = None) -> None:
        self.session(lambda connection: None)

    @property
    def folder(self) -> Path:
        """What is no row, such as a plot, goes where it goes without a store."""
        return Path("results")
