"""Sends the same request to the core itself, to WSGI and ASGI without a socket, and over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote, unquote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.validate import validator

import msgspec
import uvicorn.server
from waitress import wasyncore
from waitress.server import create_server

from tests.http.conforms import check
from yamcs_archive import Archive
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi import AsgiApp, create_asgi_app
from yamcs_archive.http.client_limits import ClientLimits
from yamcs_archive.http.limits import CONNECTIONS_MAX
from yamcs_archive.http.request_and_response import Head, Pending, Response
from yamcs_archive.http.wsgi import WsgiApp, create_app
from yamcs_archive.server.listening_socket import bind, listen
from yamcs_archive.server.tls import TlsContext
from yamcs_archive.server.uvicorn_server import HttpServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class _QuickAsyncio:
    """asyncio as uvicorn's server uses it, but sleeping a tenth as long.

    uvicorn looks every 0.1 s whether it is to stop, and then waits 0.1 s or more; the tests stop it hundreds
    of times. The processes of ``tests/server/test_process.py`` have the real one.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


vars(uvicorn.server)["asyncio"] = _QuickAsyncio()


class Answer(NamedTuple):
    """A response as a client sees it; names of headers are in lower case."""

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
    """Return the answer; AssertionError if the OpenAPI description does not have it."""
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


def core_feed(archive: Archive, cors_origins: Sequence[str] = (), *, core: Application | None = None) -> Feed:
    core = core or Application(archive, cors_origins=cors_origins, operations=True)

    def send(
        method: str, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        path, _, query = target.partition("?")
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        content = as_bytes(body)
        if content:
            lower.setdefault("content-length", str(len(content)))
        begun = core.begin(Head(method, unquote(path), query, lower, "192.0.2.1"))
        if isinstance(begun, Future):
            begun = begun.result()
        response = begun if isinstance(begun, Response) else begun.run(content)
        if isinstance(response, Pending):
            response = response.wait()
        found = Answer(response.status, dict(response.headers), whole(response))
        return held_to_the_description(method, target, found)

    return send


def wsgi_feed(archive: Archive, created: WsgiApp | None = None) -> Feed:
    app = validator(created or create_app(archive, operations=True))

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


def asgi_feed(archive: Archive, part_bytes: int | None = None, cors_origins: Sequence[str] = ()) -> Feed:
    """Return a feed through ASGI without a socket; bodies come in parts of ``part_bytes``."""
    app = create_asgi_app(archive, cors_origins=cors_origins, operations=True)

    def send(
        method: str, target: str, body: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        content = as_bytes(body)
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if content:
            given.setdefault("content-length", str(len(content)))
        size = part_bytes or max(1, len(content))
        parts = [content[start : start + size] for start in range(0, len(content), size)] or [b""]
        exchange = asyncio.run(Exchange(app, method, target, given, parts).run())
        found = {name.decode(): value.decode() for name, value in exchange.started["headers"]}
        answer = Answer(exchange.started["status"], found, b"".join(exchange.chunks))
        assert exchange.ended
        return held_to_the_description(method, target, answer)

    return send


class Exchange:
    """One request to an ASGI application, and its answer: a server without sockets.

    The client reads ``leaves_after`` parts of the answer and disconnects, or reads ``stalls_after`` parts and
    no more until :meth:`leave`. ``stalls``: no more of its body comes until then. ``cut_off``: it disconnects
    before the end of its body.
    """

    def __init__(
        self,
        app: Any,
        method: str,
        target: str,
        headers: dict[str, str],
        parts: Iterable[bytes] = (b"",),
        *,
        leaves_after: int | None = None,
        stalls_after: int | None = None,
        stalls: bool = False,
        cut_off: bool = False,
    ) -> None:
        path, _, query = target.partition("?")
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
        }
        self._app = app
        self.parts = list(parts)
        self._leaves_after, self._stalls_after = leaves_after, stalls_after
        self._stalls, self._cut_off = stalls, cut_off
        self.started: dict[str, Any] = {}
        self.chunks: list[bytes] = []
        self.ended = False

    async def run(self) -> Exchange:
        """Let the application answer."""
        self._gone = asyncio.Event()
        await self._app(self.scope, self._receive, self._send)
        return self

    def leave(self) -> None:
        """Go away."""
        self._gone.set()

    async def _receive(self) -> dict[str, Any]:
        if self.parts:
            part = self.parts.pop(0)
            more = bool(self.parts) or self._cut_off or self._stalls
            return {"type": "http.request", "body": part, "more_body": more}
        if not self._cut_off:
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        assert not self.ended
        if message["type"] == "http.response.start":
            assert not self.started
            self.started = message
            return
        assert self.started
        assert message["type"] == "http.response.body"
        self.chunks.append(message.get("body", b""))
        self.ended = not message.get("more_body", False)
        if len(self.chunks) == self._leaves_after:
            self.leave()
        if len(self.chunks) == self._stalls_after:
            await self._gone.wait()


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
    server: WSGIServer = make_server(
        "127.0.0.1", 0, create_app(archive, operations=True), handler_class=_Quiet
    )
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
    app = create_app(archive, cors_origins=cors_origins, operations=True)
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


def uvicorn_server(archive: Archive) -> AbstractContextManager[int]:
    """Serve ASGI with uvicorn on a free port of loopback."""
    return uvicorn_at(archive, 0)


def bridge_server(archive: Archive) -> AbstractContextManager[int]:
    """Serve WSGI with uvicorn on a free port of loopback."""
    return uvicorn_at(archive, 0, create_app(archive, operations=True))


@contextmanager
def uvicorn_at(
    archive: Archive,
    port: int,
    wsgi: AsgiApp | WSGIApplication | None = None,
    *,
    operations: bool = True,
    refused: Callable[[str, str], None] = lambda kind, why: None,
    tls: TlsContext | None = None,
    connections_max: int = CONNECTIONS_MAX,
    client_limits: ClientLimits | None = None,
) -> Iterator[int]:
    """Serve ASGI, or a WSGI application, with uvicorn on a port of loopback; 0 is a free one."""
    listening = bind("127.0.0.1", port)
    port = listening.getsockname()[1]
    listen(listening)
    app = create_asgi_app(archive, operations=operations)

    def stopping() -> None:  # as the standalone process does
        app.end_polls()
        app.end_live(1)

    served = app if wsgi is None else wsgi
    server = HttpServer(
        listening,
        served,
        stopping,
        threads=8,
        refused=refused,
        tls=tls,
        connections_max=connections_max,
        client_limits=client_limits,
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield port
    finally:
        server.stop()
        thread.join()
