"""The server answers what it serves, to those who ask this machine by its name, and nothing else."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.watch.server import Served, Server
from spaces.notation.errors import UserError


class Toy:
    """What is served, and how often it was made."""

    def __init__(self) -> None:
        self.version, self.made = "1", 0

    def __call__(self) -> Served:
        return Served("text/html", self.version, self.text)

    def text(self) -> str:
        self.made += 1
        return f"<p>ü{self.version}"


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def server(toy: Toy) -> Iterator[Server]:
    server = Server("127.0.0.1", 0, {"/": toy, "/data.json": toy})
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server
    server.close()
    thread.join()


def ask(server: Server, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def test_an_unchanged_state_is_not_sent_again_nor_made(server: Server, toy: Toy) -> None:
    status, headers, text = ask(server)
    assert (status, text, headers["Content-Type"]) == (200, "<p>ü1", "text/html; charset=utf-8")
    assert ask(server, If_None_Match=headers["ETag"])[0::2] == (304, "") and toy.made == 1
    toy.version = "2"
    assert ask(server, If_None_Match=headers["ETag"])[0::2] == (200, "<p>ü2")


def test_answers_are_kept_by_nobody_and_shown_in_no_page_of_others(server: Server) -> None:
    headers = ask(server)[1]
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin" and "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:9000", "LOCALHOST.", "[::1]:80", socket.gethostname()])
def test_this_machine_has_several_names(server: Server, host: str) -> None:
    assert ask(server, Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "localhost@evil.example", "", "[", "localhost.evil"]
)
def test_a_name_of_others_that_leads_here_is_refused(server: Server, toy: Toy, host: str) -> None:
    assert ask(server, Host=host)[0] == 421 and toy.made == 0


@pytest.mark.parametrize("path", ["/x", "/../etc/passwd", "//etc/passwd", "/data.json/", "/%2e%2e/", "/results/evaluate.csv"])
def test_no_files_are_served(server: Server, toy: Toy, path: str) -> None:
    assert ask(server, path)[0] == 404 and toy.made == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "FOO"])
def test_there_is_get_alone(server: Server, toy: Toy, method: str) -> None:
    status, headers, _ = ask(server, method=method)
    assert (status, headers["Allow"], toy.made) == (405, "GET", 0)


def test_a_client_that_goes_away_harms_nobody(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    for sent in (b"", b"GET / HT", b"\xff\xff\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 500 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(sent)
    assert ask(server)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_told(server: Server) -> None:
    with pytest.raises(UserError, match=f"--port {server.port}, got: Address already in use"):
        Server("127.0.0.1", server.port, {})


@pytest.mark.parametrize(("host", "port", "says"), [("127.0.0.1", 70000, "from 0 to 65535"), ("no.such.invalid", 0, "got: ")])
def test_where_it_cannot_listen_is_told(host: str, port: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Server(host, port, {})


def test_who_reaches_it_is_known(tmp_path: Path) -> None:
    for host, is_private in (("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)):
        server = Server(host, 0, {})
        assert server.is_private is is_private and str(server.port) in server.url
        server._server.server_close()
