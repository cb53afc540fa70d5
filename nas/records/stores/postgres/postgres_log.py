"""A log in a table of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nas.records.log import Log, check_columns
from nas.records.row_kinds import RowKind
from nas.records.stores.postgres.session import Connection, Session
from nas.records.stores.url import redacted, with_file
from spaces.notation.errors import UserError

LONGEST = 63  # bytes of a table's name
LOGS = "results_logs"  # the table of all logs of a store: of each its columns, in order, and how often people changed its rows

_MAKE_LOGS = f"""
    CREATE TABLE IF NOT EXISTS {LOGS} (name text PRIMARY KEY, columns text[] NOT NULL, edits bigint NOT NULL);
    CREATE OR REPLACE FUNCTION results_edited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE format('UPDATE %I.{LOGS} SET edits = edits + 1 WHERE name = $1', TG_TABLE_SCHEMA) USING TG_TABLE_NAME;
        RETURN NULL;
    END $$"""
_MAKE_TABLE = """
    CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cells jsonb NOT NULL);
    CREATE TRIGGER edited AFTER UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION results_edited()"""
_NEW_LOG = f"""
    INSERT INTO {LOGS} VALUES (%s, '{{}}', 0) ON CONFLICT (name) DO UPDATE SET columns = '{{}}', edits = {LOGS}.edits + 1"""
# One statement sees one moment: the columns and the count of edits as row 0, and what is new.
_NEW_ROWS = f"""
    SELECT 0 AS id, edits, to_jsonb(columns) AS cells FROM {LOGS} WHERE name = %s
    UNION ALL SELECT id, 0, cells FROM {{table}} WHERE id > %s ORDER BY id"""
_INSERT = """
    INSERT INTO {table} (cells) SELECT cells FROM unnest(%s::jsonb[]) WITH ORDINALITY AS given (cells, place) ORDER BY place
    RETURNING pg_current_xact_id()::text"""


class PostgresLog(Log):
    """Each row is a jsonb object of its cells that are not empty; the columns, in order, stand in the table `results_logs`.

    Whoever appends holds the table's lock until the row is there, so rows become visible in the order of their ids, and a
    reader asks only for those behind the last that it knows. Readers wait for nobody. A row that was changed or deleted by
    SQL is noticed by a trigger, and all are read again.
    """

    _edits: int

    def __init__(self, session: Session, name: str, kind: RowKind | None = None) -> None:
        self.name, self._session = name, session
        self._table_name = name.removesuffix(".csv")
        if len(self._table_name.encode()) > LONGEST:
            raise UserError(f"a log's name has {LONGEST} bytes at most in PostgreSQL, got {self._table_name!r}; shorten it")
        super().__init__(kind)

    @property
    def where(self) -> str:
        return with_file(redacted(self._session.url), self.name)

    def row_at(self, number: int) -> str:
        return f"{self.where}, the row with id {self._ids[number]}"

    def check_ready(self) -> None:
        self._session(self._check_ready)

    def is_there(self) -> bool:
        """Whether somebody has appended to it."""
        return self._session(self._is_there)

    def stamp(self) -> object:
        """What tells one state of its rows from another, without reading them."""
        query = self._query(f"SELECT (SELECT max(id) FROM {{table}}), (SELECT edits FROM {LOGS} WHERE name = %s)")
        return self._session(lambda connection: connection.execute(query, [self._table_name]).fetchone())

    def _read(self) -> None:
        self._session(self._refresh)

    def _append(self, choose: Callable[[], Sequence[Mapping[str, str]]]) -> int:
        transaction = _Transaction()
        return self._session(lambda connection: self._insert(connection, choose, transaction))

    def _check_ready(self, connection: Connection) -> None:
        self._refresh(connection)
        query = "SELECT has_schema_privilege(current_schema(), 'CREATE'), current_setting('transaction_read_only') = 'on'"
        may_create, reads_only = connection.execute(query).fetchone()
        if self._is_there(connection):
            query = """
                SELECT bool_and(has_table_privilege(quote_ident(name), needed))
                FROM (VALUES (%(log)s, 'INSERT'), (%(log)s, 'UPDATE'), (%(logs)s, 'UPDATE')) AS asked (name, needed)"""
            (may_append,) = connection.execute(query, {"log": self._table_name, "logs": LOGS}).fetchone()
        else:
            may_append = may_create
        if reads_only or not may_append:
            raise UserError(f"rows are appended to {self.where}, which this role may only read; name a role that may write")

    def _is_there(self, connection: Connection) -> bool:
        if not (_has_table(connection, LOGS) and _has_table(connection, self._table_name)):
            return False
        query = f"SELECT EXISTS (SELECT FROM {LOGS} WHERE name = %s)"
        return bool(connection.execute(query, [self._table_name]).fetchone()[0])

    def _refresh(self, connection: Connection) -> None:
        """Read the rows that came since; all of them if others were changed, or gone."""
        import psycopg

        try:
            found = self._new_rows(connection)
            if self._lines and (not found or found[0][:2] != (0, self._edits)):
                self._forget()
                found = self._new_rows(connection)
        except psycopg.errors.UndefinedTable:
            return self._forget()
        if not found or found[0][0] != 0:  # a log without columns is none
            return self._forget()
        (_, edits, header), *rows = found
        self._edits = edits
        self._take_over(header, [(number, cells) for number, _, cells in rows])

    def _new_rows(self, connection: Connection) -> list[Any]:
        last = self._ids[-1] if self._ids else 0
        return connection.execute(self._query(_NEW_ROWS), [self._table_name, last]).fetchall()

    def _take_over(self, header: list[str], rows: Sequence[tuple[int, Mapping[str, str]]]) -> None:
        if not header:
            return
        if rows and self.kind and (lacks := self.kind.lacks(header)):
            raise UserError(f"every {self.kind.name} has {', '.join(lacks[:4])}, which {self.where} has not; name another store")
        known = len(self._lines[0]) if self._lines else len(header)
        self._lines[:1] = [header]
        for line in self._lines[1:] if len(header) > known else ():
            line += [""] * (len(header) - known)
        for number, cells in rows:
            row = {column: cells.get(column, "") for column in header}
            if self.kind:
                try:
                    row = self.kind.read(row)
                except ValueError as error:
                    raise UserError(f"{self.where}, the row with id {number}: {error}; mend the row, or delete it") from None
            self._ids.append(number)
            self._lines.append(list(row.values()))

    def _insert(
        self, connection: Connection, choose: Callable[[], Sequence[Mapping[str, str]]], transaction: _Transaction
    ) -> int:
        from psycopg.types.json import Jsonb

        if transaction.is_committed(connection):  # its connection was lost before it could say so
            return transaction.count
        if not self._lines and not self._is_there(connection):
            self._make(connection)
        with connection.transaction():
            connection.execute(self._query("LOCK TABLE {table} IN EXCLUSIVE MODE"))
            self._refresh(connection)
            if not (rows := choose()):
                return 0
            old = self._lines[0] if self._lines else []
            header = list(dict.fromkeys([*old, *(column for row in rows for column in row)]))
            try:
                check_columns(header)
            except ValueError as error:
                raise UserError(f"{self.where}: {error}; rename it") from None
            if header != old:
                connection.execute(f"UPDATE {LOGS} SET columns = %s WHERE name = %s", [header, self._table_name])
            cells = [Jsonb({column: cell for column, cell in row.items() if cell}) for row in rows]
            (transaction.number,) = connection.execute(self._query(_INSERT), [cells]).fetchone()
            transaction.count = len(rows)
        return len(rows)

    def _make(self, connection: Connection) -> None:
        """Make the tables, unless another process has just done so."""
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('results tables of ' || current_schema(), 0))")
            connection.execute(_MAKE_LOGS)
            if self._is_there(connection):
                return
            if _has_table(connection, self._table_name):
                raise UserError(
                    f"{self.where} is a table of something else; name another database, or a schema with "
                    "?options=-csearch_path%3DNAME"
                )
            connection.execute(self._query(_MAKE_TABLE))
            connection.execute(_NEW_LOG, [self._table_name])

    def _query(self, text: str) -> Any:
        from psycopg import sql

        return sql.SQL(text).format(table=sql.Identifier(self._table_name))

    def _forget(self) -> None:
        super()._forget()
        self._ids: list[int] = []
        self._edits = 0


def _has_table(connection: Connection, name: str) -> bool:
    query = "SELECT to_regclass(quote_ident(current_schema()) || '.' || quote_ident(%s)) IS NOT NULL"
    return bool(connection.execute(query, [name]).fetchone()[0])


class _Transaction:
    """An append that may have been committed when its connection was lost."""

    number: str | None = None
    count = 0

    def is_committed(self, connection: Connection) -> bool:
        """What the server knows of it; it is in progress for a moment after its connection was lost."""
        while self.number is not None:
            (status,) = connection.execute("SELECT pg_xact_status(%s::xid8), pg_sleep(0.05)", [self.number]).fetchone()[:1]
            if status != "in progress":
                return status == "committed"
        return False
