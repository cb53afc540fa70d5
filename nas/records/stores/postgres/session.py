"""One connection a process to a PostgreSQL database: made when it is asked, made again when it is lost, with its claims."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from hashlib import sha256
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from nas.notice import notice
from nas.records.stores.url import redacted
from spaces.notation.errors import UserError, one_line

if TYPE_CHECKING:
    import psycopg

Answer = TypeVar("Answer")
Connection = Any  # psycopg.Connection, whose rows are of any type

OLDEST = 130000  # PostgreSQL 13, the first with pg_xact_status
LOST_SECONDS = 300.0  # for which a lost connection is made anew
ENDING_SECONDS = 2.0  # for which the server ends a session that it was told to end
# A host that is gone is noticed after a minute, by us and by the server, which then gives its claims to others.
_ALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
# What a server or a role may have set against long sessions would end claims in the middle of a training; and a lock is worth
# nothing to a transaction that does not see what came before it.
_SETTINGS = """
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    SET default_transaction_isolation = 'read committed';
    SET client_min_messages = error"""


class Session:
    """`session(work)` calls `work` with the connection of this process.

    A connection that is lost meanwhile is made anew, which is tried for `LOST_SECONDS`; its claims are taken again, and `work` is
    called once more, so that `work` has to find out what of it is done. What the database refuses is a UserError in one line
    without the password. Threads take turns. A process that was forked has a session of its own.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._reset()
        _SESSIONS.add(self)

    def _reset(self) -> None:
        self._connection: Connection = None
        self._claims: set[str] = set()
        self._lock = RLock()
        self._backend = 0

    def __call__(self, work: Callable[[Connection], Answer]) -> Answer:
        import_psycopg()
        with self._lock, _told(self.url):
            if self._connection is None:
                self._connect()
            for _ in range(3):  # a server that goes away each time is not asked for ever
                try:
                    return work(self._connection)
                except _lost() as error:
                    if not self._connection.closed:
                        raise
                    self._connect_again(error)
            return work(self._connection)

    def claim(self, name: str) -> bool:
        """Whether the claim on this name is ours now, until it is given up or this process ends."""
        with self._lock:
            if name in self._claims or not self(lambda connection: self._locked(connection, name)):
                return False
            self._claims.add(name)
            return True

    def give_up(self, name: str) -> None:
        """Give the claim up. One whose connection is lost is given up already."""
        with self._lock:
            if name in self._claims:
                self._claims.remove(name)
                if self._connection is not None and not self._connection.closed:
                    with suppress(_lost()):
                        self._connection.execute("SELECT pg_advisory_unlock(%s)", [self._key(name)])

    def holder(self, name: str) -> str | None:
        """Who has the claim now, as a text; None where nobody has."""
        if (found := self._holder(name)) is None:
            return None
        who, since = found
        if not who:
            return "another process"
        shown = f" since {since.astimezone(UTC).isoformat(sep=' ', timespec='seconds')}" if since else ""
        return one_line(f"{who}{shown}")

    def _holder(self, name: str) -> Any:
        """Name and beginning of the session that has the claim; None where none has."""
        query = """
            SELECT application_name, backend_start FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
            WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = %s::oid AND objid = %s::oid
            AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

        def asked(connection: Connection) -> Any:
            high, low = divmod(self._key(name) % 2**64, 2**32)
            return connection.execute(query, [str(high), str(low)]).fetchone()

        return self(asked)

    def is_claimed(self, name: str) -> bool:
        """Whether anybody has the claim now."""
        return self._holder(name) is not None

    def close(self) -> None:
        """End the connection, and with it all claims; the next call makes another."""
        if self._connection is not None:
            self._connection.close()
        self._reset()

    def _key(self, name: str) -> int:
        """Of an advisory lock, which is the database's: stores in other schemas have keys of their own."""
        return int.from_bytes(sha256(f"{self._schema}\n{name}".encode()).digest()[:8], "big", signed=True)

    def _locked(self, connection: Connection, name: str) -> bool:
        return bool(connection.execute("SELECT pg_try_advisory_lock(%s)", [self._key(name)]).fetchone()[0])

    def _connect(self) -> None:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:  # whose text may hold the password
            raise UserError(
                f"a results store is named like postgresql://user@host:port/database, got {redacted(self.url)}, which does not "
                "read; write %-codes for special characters, and the password into PGPASSWORD or ~/.pgpass"
            ) from None
        who = f"process {os.getpid()} on {socket.gethostname()[:40]}"
        connection: Connection = psycopg.connect(
            **{"connect_timeout": 10, **_ALIVE, **given, "application_name": who},  # type: ignore[arg-type]
            autocommit=True,
        )
        version = connection.info.server_version
        if version < OLDEST:
            connection.close()
            raise UserError(
                f"a results store is PostgreSQL {OLDEST // 10000} or newer, got {version // 10000}; name another server"
            )
        connection.execute(_SETTINGS)
        (self._schema,) = connection.execute("SELECT current_schema()").fetchone()
        if self._schema is None:
            connection.close()
            raise UserError(
                f"a results store lies in a schema, which is not there in {redacted(self.url)}; CREATE SCHEMA makes it"
            )
        self._connection, self._backend = connection, connection.info.backend_pid

    def _connect_again(self, error: Exception) -> None:
        """After a connection was lost: another, with the same claims, as long as nobody else has them by now."""
        notice(f"the connection to {redacted(self.url)} is lost ({_reason(error)}); trying again")
        lost, until = self._backend, time.monotonic() + LOST_SECONDS
        pause = 0.05
        while True:
            try:
                self._connect()
                break
            except _lost():
                if time.monotonic() > until:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
        connection = self._connection
        # The server may not have noticed yet that the lost session, which has our claims, is gone.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND application_name = %s AND pid <> %s",
            [lost, connection.info.parameter_status("application_name"), self._backend],
        )
        for name in sorted(self._claims):
            until = time.monotonic() + ENDING_SECONDS
            while not (is_ours := self._locked(connection, name)) and time.monotonic() < until:
                time.sleep(0.05)
            if not is_ours:
                notice(f"{self.holder(name) or 'another process'} has the run {name} by now; both go on, and one row is kept")


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn what the database refuses into a UserError in one line."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        raise UserError(f"the results store {redacted(url)} cannot be used: {_reason(error)}; {_way_out(error)}") from None


def import_psycopg() -> None:
    """psycopg, which comes with the extra `postgres`; a UserError where it is not there."""
    try:
        import psycopg

        psycopg.logger.addHandler(_QUIET)  # what it has to say of a lost connection is said by us
    except ImportError as error:
        raise UserError(
            f"results in PostgreSQL need psycopg, which does not import ({error}); pip install 'psycopg[binary]', or the extra "
            "postgres"
        ) from None


def _lost() -> type[psycopg.OperationalError]:
    import psycopg

    return psycopg.OperationalError


def _reason(error: BaseException) -> str:
    """The first line of what the database says, without its own beginning."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    lines = [line for line in str(primary or error).splitlines() if line.strip()]
    return redacted(one_line(lines[0], 240)).rstrip(". ") if lines else type(error).__name__


def _way_out(error: BaseException) -> str:
    text = str(error)
    if "password" in text:
        return "give the password in PGPASSWORD, in ~/.pgpass or in the URL"
    if "permission denied" in text:
        return "grant the role CREATE on the schema, and all on its tables"
    if 'database "' in text and "does not exist" in text:
        return "make it with createdb, or name another"
    return "finished rows are kept; start the command again once it answers"


_QUIET = logging.NullHandler()
_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked child, such as a data loader's, that kept the socket open would keep the claims of a parent that was killed."""
    for session in _SESSIONS:
        connection = session._connection
        if connection is not None and not connection.closed:
            _OF_PARENT.append(connection)  # never closed by us: that would end the parent's session
            with suppress(OSError):
                os.close(connection.fileno())
        session._reset()


def sessions() -> list[Session]:
    """Those of this process."""
    return list(_SESSIONS)


def close_all() -> None:
    """End the connections of this process, and with them its claims."""
    for session in sessions():
        session.close()


_OF_PARENT: list[Connection] = []
os.register_at_fork(after_in_child=_forget_in_child)
atexit.register(close_all)
