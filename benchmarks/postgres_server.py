"""A PostgreSQL server of a benchmark's own, from the package pgserver: on a socket in a temporary folder, gone in the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4


@contextmanager
def postgres_server() -> Iterator[str]:
    """Its URL."""
    import pgserver

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def empty_store(server: str) -> str:
    """The URL of a results store with nothing in it: a schema of its own."""
    import psycopg

    schema = f"store_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return f"{server}&options=-csearch_path%3D{schema}"
