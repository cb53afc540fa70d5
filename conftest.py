"""Every test runs on one thread and finds the packages from the root."""

import fcntl
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = str(Path(__file__).parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def short_timing() -> Iterator[None]:
    """Exits are timed on few samples in few rounds, since no test is about how exact the seconds are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nas.exits.timing.BUDGET", 1e-9)
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server: the one that NAS_TEST_POSTGRES names, or one of this process's tests, which listens on a
    socket in a folder of theirs."""
    pytest.importorskip("psycopg")
    if given := os.environ.get("NAS_TEST_POSTGRES"):
        yield given
        return
    pgserver = pytest.importorskip("pgserver")
    folder = tmp_path_factory.mktemp("postgres")
    with (tmp_path_factory.getbasetemp().parent / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the package makes a user and changes permissions, which two processes must not at once
        server = pgserver.get_server(folder, cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty results store: a schema of its own."""
    import psycopg

    from nas.records.stores.postgres.session import sessions

    schema = f"test_{uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    url = f"{postgres_server}{'&' if '?' in postgres_server else '?'}options=-csearch_path%3D{schema}"
    yield url
    for session in sessions():
        if session.url.startswith(url):
            session.close()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


class OperatorCalls(TorchDispatchMode):
    """`with OperatorCalls() as calls:` counts in `calls.of` how often each operator runs inside."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[Any] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.of[function.overloadpacket] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def operator_calls() -> type[OperatorCalls]:
    """The class, since a test may count more than once."""
    return OperatorCalls
