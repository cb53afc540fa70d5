"""What a PostgreSQL store does when its server is away, refuses, or is changed by hand; passwords are in nothing that is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nas.records.results import Results, log_at
from nas.records.stores.postgres import session as session_module
from nas.records.stores.postgres.postgres_log import PostgresLog
from nas.records.stores.url import redacted, split_file, with_file
from spaces.notation.errors import UserError

SECRET = "geheim"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:geheim@host:5432/db", "postgresql://me@host:5432/db"),
        ("--results=postgres://me:geheim@host/db?a=b", "--results=postgres://me@host/db?a=b"),
        ("postgresql://me:ge@heim@host/db", "postgresql://me@host/db"),
        ("postgresql://me:ge/heim@host/db", "postgresql://me@host/db"),
        ("postgresql://me:ge heim@host/db", "postgresql://me@host/db"),
        ("postgresql://me:@/db?host=/tmp", "postgresql://me@/db?host=/tmp"),
        ("postgresql://host/db?user=me&password=geheim&x=1", "postgresql://host/db?user=me&password=&x=1"),
        ("postgresql://host:5432/db, and me@example.org", "postgresql://host:5432/db, and me@example.org"),
        ("mysql+driver://me:geheim@host/db", "mysql+driver://me@host/db"),
        ("mysql://me:ge/heim@host/db", "mysql://me@host/db"),
        ("postgresql+psycopg://me:ge@heim@host/db", "postgresql+psycopg://me@host/db"),
        ("mysql://host:3306/db, and me@example.org", "mysql://host:3306/db, and me@example.org"),
        ("https://me:geheim@example.org/a", "https://me@example.org/a"),
        ("https://example.org:80/a@b", "https://example.org:80/a@b"),
        ("2:conv(depth=1) 5:linear", "2:conv(depth=1) 5:linear"),
    ],
)
def test_passwords_are_left_out(text: str, shown: str) -> None:
    assert redacted(text) == shown and redacted(f"say {text}!") == f"say {shown}!"


@pytest.mark.parametrize(
    ("url", "store", "name"),
    [
        ("postgresql://h/db/exits.csv", "postgresql://h/db", "exits.csv"),
        ("postgresql://u:p@h:1/db/exits.csv?options=-cx%3Dy", "postgresql://u:p@h:1/db?options=-cx%3Dy", "exits.csv"),
        ("postgresql:///exits.csv?host=/tmp", "postgresql:///?host=/tmp", "exits.csv"),
        ("postgresql://h/db", "postgresql://h/db", None),
        ("postgresql://h", "postgresql://h", None),
    ],
)
def test_a_log_is_named_behind_its_database(url: str, store: str, name: str | None) -> None:
    assert split_file(url) == (store, name)
    assert with_file(store, "exits.csv").partition("?")[0].endswith("/exits.csv")


def test_text_of_results_has_no_password() -> None:
    results = Results(f"postgresql://me:{SECRET}@host/db")
    assert str(results) == "postgresql://me@host/db" and SECRET not in repr(results) + results.log("exits.csv").where


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/db?connect_timeout=2",
        f"postgresql://me:{SECRET}@/db?host=/nowhere",
        f"postgresql://me:{SECRET}%zz@host/db",
        f"postgresql://me:{SECRET}@host/db?nothing=known",
        f"postgresql://me:{SECRET}@host:many/db",
    ],
)
def test_a_server_that_does_not_answer_is_one_line_without_the_password(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(UserError) as told:
        Results(url).check()
    assert SECRET not in str(told.value) and "me@" in str(told.value) and told.value.__cause__ is None


def test_psycopg_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match="need psycopg, .*pip install"):
        Results("postgresql://nowhere/db").check()


def log_of(url: str, name: str = "toy.csv") -> PostgresLog:
    log = Results(url).log(name)
    assert isinstance(log, PostgresLog)
    return log


def execute(log: PostgresLog, query: str) -> None:
    log._session(lambda connection: connection.execute(query))


def cut_off(log: PostgresLog) -> None:
    """End the session's connection from the server's side."""
    import psycopg

    with psycopg.connect(log._session.url, autocommit=True) as other:
        ended = other.execute("SELECT pg_terminate_backend(%s, 10000)", [log._session._backend]).fetchone()
        assert ended == (True,)


@pytest.mark.slow
def test_what_people_change_by_sql_is_seen(postgres_url: str) -> None:
    log = log_of(postgres_url)
    log.append_all([{"a": number, "b": "x"} for number in range(4)])
    assert log.find({"a": 2}) is not None
    execute(log, "DELETE FROM toy WHERE cells->>'a' = '2'")
    assert log.find({"a": 2}) is None and len(log.rows()) == 3
    execute(log, """UPDATE toy SET cells = cells || '{"a": "9"}' WHERE cells->>'a' = '1'""")
    assert [row["a"] for row in log.rows()] == ["0", "9", "3"]
    execute(log, "TRUNCATE toy")
    assert log.rows() == []
    log.append({"a": 1})
    execute(log, "DROP TABLE toy")
    assert log.rows() == []
    log.append({"c": 1})
    assert log.rows() == log_of(postgres_url).rows() == [{"c": "1"}]


@pytest.mark.slow
def test_only_what_is_new_is_read(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log, other, came = log_of(postgres_url), log_of(postgres_url), []
    new_rows = PostgresLog._new_rows

    def counted(one: PostgresLog, connection: Any) -> list[Any]:
        found = new_rows(one, connection)
        came.append(len(found) - 1)
        return found

    other.append_all([{"a": number} for number in range(100)])
    monkeypatch.setattr(PostgresLog, "_new_rows", counted)
    assert len(log.rows()) == 100
    other.append({"a": 100})
    assert log.find({"a": 100}) and log.find({"a": 7})
    assert came == [100, 100, 1, 0]  # the second is of the append, which reads before it writes


@pytest.mark.slow
def test_a_lost_connection_is_made_again_with_its_claims(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, results = log_of(postgres_url), Results(postgres_url)
    claim = results.claim(tmp_path / "abc")
    log.append({"a": 1})
    assert claim.try_take()
    cut_off(log)
    log.append({"a": 2})
    assert [row["a"] for row in log.rows()] == ["1", "2"]
    assert any("is lost" in text and "trying again" in text for text in caplog.messages)
    other = session_module.Session(postgres_url)
    assert not other.claim("abc") and str(claim.holder()).startswith("process ")
    claim.release()
    assert other.claim("abc")
    other.close()


@pytest.mark.slow
def test_a_claim_that_another_has_taken_meanwhile_leads_to_one_row(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "ENDING_SECONDS", 0.1)
    log, claim = log_of(postgres_url), Results(postgres_url).claim(tmp_path / "abc")
    assert claim.try_take()
    cut_off(log)
    other = session_module.Session(postgres_url)
    assert other.claim("abc")
    PostgresLog(other, "toy.csv").append_once({"run": "abc", "by": "other"}, {"run": "abc"})
    log.append_once({"run": "abc", "by": "first"}, {"run": "abc"})
    assert log.rows() == [{"run": "abc", "by": "other"}] and "has the run abc by now" in caplog.text
    claim.release()
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize("committed", [True, False])
def test_an_append_whose_answer_is_lost_is_there_once(
    postgres_url: str, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes just before, or just after, the server has made the row durable."""
    import psycopg

    log = log_of(postgres_url)
    log.append({"a": 0})
    leave, cut = psycopg.Transaction.__exit__, []

    def losing(transaction: Any, *error: Any) -> Any:
        if cut or error[0]:
            return leave(transaction, *error)
        cut.append(True)
        if committed:
            leave(transaction, *error)
        cut_off(log)
        transaction.connection.execute("SELECT 1")

    monkeypatch.setattr(psycopg.Transaction, "__exit__", losing)
    log.append_all([{"a": 1}, {"a": 2}])
    assert cut and [row["a"] for row in log.rows()] == ["0", "1", "2"]


@pytest.mark.slow
def test_who_may_only_read_is_told_before_the_work(postgres_url: str) -> None:
    log = log_of(postgres_url)
    log.append({"a": 1})
    reader = log_of(f"{postgres_url}%20-cdefault_transaction_read_only%3Don")
    assert reader.rows() == [{"a": "1"}]
    with pytest.raises(UserError, match="which this role may only read"):
        reader.check_ready()
    with pytest.raises(UserError, match="read-only transaction"):
        reader.append({"a": 2})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("granted", "is_enough"), [("SELECT", False), ("SELECT, INSERT", False), ("SELECT, INSERT, UPDATE", True)]
)
def test_what_a_role_needs_is_what_is_asked_for(postgres_url: str, granted: str, is_enough: bool) -> None:
    log, schema = log_of(postgres_url), postgres_url.rpartition("%3D")[2]
    log.append({"a": 1})
    execute(log, f"CREATE ROLE {schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {schema}")
    execute(log, f"GRANT {granted} ON ALL TABLES IN SCHEMA {schema} TO {schema}")
    other = log_of(f"{postgres_url}&user={schema}")
    assert other.rows() == [{"a": "1"}]
    try:
        if is_enough:
            other.check_ready()
            other.append({"b": 2})
            assert len(log.rows()) == 2
        else:
            with pytest.raises(UserError, match="may only read"):
                other.check_ready()
            with pytest.raises(UserError, match="permission denied.*; grant the role"):
                other.append({"b": 2})
    finally:
        other._session.close()
        execute(log, f"DROP OWNED BY {schema}; DROP ROLE {schema}")


@pytest.mark.slow
def test_a_table_of_something_else_and_a_missing_schema_are_named(postgres_url: str) -> None:
    log = log_of(postgres_url, "trials.csv")
    execute(log, "CREATE TABLE trials (patient text)")
    assert log.rows() == []
    with pytest.raises(UserError, match="is a table of something else"):
        log.append({"a": 1})
    with pytest.raises(UserError, match="CREATE SCHEMA"):
        Results(f"{postgres_url}_not_there").check()


@pytest.mark.slow
def test_the_url_of_a_log_reads_it(postgres_url: str) -> None:
    Results(postgres_url).log("exits.csv").append({"a": 1})
    Results(postgres_url).log("evaluate.csv").append({"b": 2})
    assert log_at(with_file(postgres_url, "exits.csv")).rows() == [{"a": "1"}]
    assert log_at(postgres_url).rows() == [{"b": "2"}]


def test_a_name_that_postgres_would_cut_is_refused() -> None:
    with pytest.raises(UserError, match="63 bytes at most"):
        Results("postgresql://host/db").log("n" * 64 + ".csv")
