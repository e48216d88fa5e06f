"""The same request through the core itself, through WSGI without a socket, and over real sockets."""

from __future__ import annotations

import http.client
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.validate import validator

import msgspec
from waitress import wasyncore
from waitress.server import create_server

from tests.http.conforms import check
from yamcs_archive import Archive
from yamcs_archive.http.core import Core
from yamcs_archive.http.messages import Head, Pending, Response
from yamcs_archive.http.wsgi import WsgiApp, create_app


class Answer(NamedTuple):
    """A response as a client sees it; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class Feed(Protocol):
    """A way to send a request."""

    def __call__(
        self, method: str, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        """Send it and return the answer."""


def held_to_the_description(method: str, target: str, answer: Answer) -> Answer:
    """Return the answer; an AssertionError where the OpenAPI description does not promise it."""
    check(method, target, *answer)
    return answer


def as_bytes(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else body


def whole(response: Response) -> bytes:
    """Read an answer to its end and close it, as a server does."""
    body: Any = response.body
    if isinstance(body, bytes):
        return body
    try:
        return b"".join(body)
    finally:
        body.close()


def core_feed(archive: Archive, cors_origins: Sequence[str] = ()) -> Feed:
    core = Core(archive, cors_origins=cors_origins)

    def send(
        method: str, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        content = as_bytes(body)
        if content:
            lower.setdefault("content-length", str(len(content)))
        begun = core.begin(Head(method, unquote(path), query, lower))
        response = begun if isinstance(begun, Response) else begun.run(content)
        if isinstance(response, Pending):
            response = response.wait()
        found = Answer(response.status, dict(response.headers), whole(response))
        return held_to_the_description(method, target, found)

    return send


def wsgi_feed(archive: Archive, created: WsgiApp | None = None) -> Feed:
    app = validator(created or create_app(archive))

    def send(
        method: str, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        content = as_bytes(body)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(content),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if content:
            environ["CONTENT_LENGTH"] = str(len(content))
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start(status: str, found: list[tuple[str, str]], _: Any = None) -> Any:
            started.append((status, found))
            return lambda _: None

        parts = app(environ, start)
        try:
            got = b"".join(parts)
        finally:
            parts.close()  # type: ignore[attr-defined]  # the validator's iterator has it
        status, found = started[0]
        headers = {name.lower(): value for name, value in found}
        return held_to_the_description(method, target, Answer(int(status[:3]), headers, got))

    return send


def socket_feed(port: int) -> Feed:
    def send(
        method: str, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            safe = quote(target, safe="/?&=%+:,;@")
            connection.request(method, safe, as_bytes(body) or None, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return held_to_the_description(method, target, Answer(response.status, found, response.read()))
        finally:
            connection.close()

    return send


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # the base class's name
        pass


@contextmanager
def wsgiref_server(archive: Archive) -> Iterator[int]:
    """Serve with the standard library's server on a free port of loopback."""
    server: WSGIServer = make_server("127.0.0.1", 0, create_app(archive), handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def waitress_server(archive: Archive, cors_origins: Sequence[str] = ()) -> Iterator[int]:
    """Serve with waitress on a free port of loopback."""
    channels: dict[int, Any] = {}
    app = create_app(archive, cors_origins=cors_origins)
    server: Any = create_server(app, map=channels, host="127.0.0.1", port=0, threads=8)
    stop = threading.Event()

    def run() -> None:  # waitress' own loop ends only with the process
        while not stop.is_set():
            wasyncore.loop(timeout=0.01, map=channels, count=1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield server.effective_port
    finally:
        stop.set()
        thread.join()
        server.task_dispatcher.shutdown()
        wasyncore.close_all(channels)
