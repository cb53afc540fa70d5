"""What processes of many hosts tell, a row each."""

from __future__ import annotations

from contextlib import suppress

from nas.records.beats import Beat, Beats
from nas.records.stores.postgres.session import Connection, Session

TABLE = "results_running"  # unlogged: nobody waits for the disk, and what was told need not outlive the server
_MAKE = f"""
    CREATE UNLOGGED TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, told text NOT NULL, at timestamptz NOT NULL)"""
_WRITE = f"""
    INSERT INTO {TABLE} VALUES (%s, %s, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET told = excluded.told, at = excluded.at"""
_READ = f"SELECT name, told, extract(epoch FROM clock_timestamp() - at)::float FROM {TABLE} ORDER BY name"


class PostgresBeats(Beats):
    """Rows of one table. A writer holds an advisory lock of its name, which the server gives up with the connection."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def write(self, name: str, text: str) -> None:
        """Tell this."""
        self._session.claim(name)
        self._session(lambda connection: _write(connection, name, text))

    def remove(self, name: str) -> None:
        """The row, and the lock."""
        self._session(lambda connection: connection.execute(f"DELETE FROM {TABLE} WHERE name = %s", [name]))
        self._session.give_up(name)

    def read(self) -> list[Beat]:
        """What is told now, by name."""
        return self._session(self._read)

    def _read(self, connection: Connection) -> list[Beat]:
        import psycopg

        try:
            rows = connection.execute(_READ).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):  # older roles were not granted it
            return []
        return [Beat(name, text, max(0.0, ago), self._session.is_claimed(name)) for name, text, ago in rows]


def _write(connection: Connection, name: str, text: str) -> None:
    import psycopg

    try:
        connection.execute(_WRITE, [name, text])
    except psycopg.errors.UndefinedTable:
        with suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):  # another process has just made it
            connection.execute(_MAKE)
        connection.execute(_WRITE, [name, text])
