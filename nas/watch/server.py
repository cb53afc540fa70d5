"""Serves the page and its data, and nothing else: no file of this machine, to no page of others."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socketserver import TCPServer
from typing import Any, NamedTuple

from spaces.notation.errors import UserError

SECONDS = 30.0  # that a client may be silent in the middle of a request
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",  # beside the page's own
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Served(NamedTuple):
    """What a path answers: its kind, its version, which an unchanged state has again, and how to make the text of it."""

    kind: str
    version: str
    text: Callable[[], str]


Paths = dict[str, Callable[[], Served]]


class Server:
    """`serve()` answers GET of the `paths` until it is interrupted; `url` is where. Port 0 is any that is free.

    A request has to name this machine: by an address, as localhost, by its own name, or by the `host` that it listens at. So a
    page of others whose name leads here (DNS rebinding) is refused.
    """

    def __init__(self, host: str, port: int, paths: Paths) -> None:
        if not 0 <= port < 2**16:
            raise UserError(f"--port is a number from 0 to 65535, 0 for any that is free, got {port}; give one above 1023")
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _server(family, address, _handler(paths, _names(host)))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "no such name"
            raise UserError(f"the page is served at --host {host} --port {port}, got: {reason}; give others") from None
        self.host, self.port = host, self._server.server_address[1]

    @property
    def url(self) -> str:
        """Where a browser of this machine finds the page; of another one the machine's name takes the place of a host that is
        all addresses."""
        host = socket.gethostname() if self.is_everywhere else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens at all addresses of this machine."""
        return self.host in ("0.0.0.0", "::", "")

    @property
    def is_private(self) -> bool:
        """Whether this machine alone reaches it."""
        address = str(self._server.server_address[0])
        return ip_address(address.partition("%")[0]).is_loopback

    def serve(self) -> None:
        """Answer, in threads of their own, until this is interrupted or closed."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            self._server.server_close()

    def close(self) -> None:
        """End `serve` in another thread."""
        self._server.shutdown()


def _server(family: int, address: tuple[object, ...], handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    class OfFamily(ThreadingHTTPServer):
        address_family = family
        daemon_threads, block_on_close = True, False  # an answer that nobody takes does not keep the program

        def server_bind(self) -> None:
            """Without the look-up of the host's name, which may take seconds."""
            TCPServer.server_bind(self)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Of a client that went away nobody needs to hear; all else is a bug."""
            if not isinstance(sys.exc_info()[1], OSError):
                super().handle_error(request, client_address)

    return OfFamily(address[:2], handler)  # type: ignore[arg-type]


def _names(host: str) -> frozenset[str]:
    """By which this machine may be asked, besides addresses."""
    return frozenset(name.lower().rstrip(".") for name in (host, "localhost", socket.gethostname()) if name)


def _is_here(given: str | None, names: frozenset[str]) -> bool:
    """Whether a Host header names this machine; ports may be those of a tunnel."""
    host = (given or "").strip().lower()
    name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    with suppress(ValueError):
        return bool(ip_address(name))
    return name.rstrip(".") in names


def _handler(paths: Paths, names: frozenset[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "decoupled-nas", "", SECONDS

        def do_GET(self) -> None:
            if not _is_here(self.headers.get("Host"), names):
                return self._say(HTTPStatus.MISDIRECTED_REQUEST, "this machine has another name")
            if (serve := paths.get(self.path.partition("?")[0])) is None:
                return self._say(HTTPStatus.NOT_FOUND, "there is no such page")
            served = serve()
            tag = f'"{served.version}"'
            if tag in self.headers.get("If-None-Match", ""):
                return self._answer(HTTPStatus.NOT_MODIFIED, {"ETag": tag})
            self._answer(HTTPStatus.OK, {"ETag": tag, "Content-Type": f"{served.kind}; charset=utf-8"}, served.text())

        def _say(self, status: HTTPStatus, text: str) -> None:
            self._answer(status, {"Content-Type": "text/plain; charset=utf-8"}, f"{text}\n")

        def _answer(self, status: HTTPStatus, headers: dict[str, str], text: str | None = None) -> None:
            body = None if text is None else text.encode("utf-8", "replace")
            length = {} if body is None else {"Content-Length": str(len(body))}
            self.send_response(status)
            for name, value in {**HEADERS, **headers, **length}.items():
                self.send_header(name, value)
            self.end_headers()
            if body is not None:
                self.wfile.write(body)

        def __getattr__(self, name: str) -> object:
            """Of every other method: that there is GET alone."""
            if not name.startswith("do_"):
                raise AttributeError(name)
            return self._refuse

        def _refuse(self) -> None:
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET", "Content-Type": "text/plain"}, "GET alone\n")

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: what is asked is the page's own affair."""

    return Handler
