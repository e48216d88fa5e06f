"""Runs a WSGI application under the ASGI server: ``serve --wsgi``.

A request has a thread while the application makes its answer. A client that sends slowly, or reads slowly,
holds none: a body that will be in memory is received before, and counted as under ASGI; of one that is read
as it comes, a batch, the beginning is received before. Only a few chunks of an answer are made ahead.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from yamcs_archive.errors import ArchiveError, UnavailableError
from yamcs_archive.http.admission import BodyBudget
from yamcs_archive.http.asgi import head_of
from yamcs_archive.http.asgi_threads import Message, Pools, Receive, Send, client_left, write_chunks
from yamcs_archive.http.errors import CutOffError
from yamcs_archive.http.limits import QUICK_BODY_BYTES_MAX
from yamcs_archive.http.request_and_response import Work
from yamcs_archive.http.request_bodies import BodyBudgets, WholeBody
from yamcs_archive.http.wsgi import BODY_ERROR, BodyUse, WsgiApp
from yamcs_archive.limits import BODY_BYTES_MAX

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_Answer = tuple[int, list[tuple[bytes, bytes]], "bytes | Iterable[bytes]"]
"""Status, headers and body."""


class WsgiBridge:
    """An ASGI application that calls a WSGI application for up to ``threads`` requests at once.

    The application must call ``start_response`` before it returns, as ``http.wsgi.WsgiApp`` does. PEP 3333
    also lets a generator call it later.
    """

    def __init__(self, app: WSGIApplication, threads: int) -> None:
        self._app, self._pools = app, Pools(threads)
        self._bodies = BodyBudgets()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        environ = _environ(scope)
        whole = WholeBody(self._bodies, receive)
        try:
            try:
                environ["wsgi.input"] = await self._input(environ, receive, whole)
            except ArchiveError as error:
                environ["wsgi.input"], environ[BODY_ERROR] = io.BytesIO(), error
            answering = self._begin(environ)
            if isinstance(answering, ArchiveError):
                await self._refuse(answering, scope, send)
            else:
                await self._send(await answering, receive, send)
        finally:
            whole.let_go()

    async def _input(self, environ: WSGIEnvironment, receive: Receive, whole: WholeBody) -> io.BufferedIOBase:
        """Return the file ``wsgi.input``. Raises an ArchiveError to refuse the request with."""
        text = environ.get("CONTENT_LENGTH")
        length = None if text is None else int(text)
        if length is None and "HTTP_TRANSFER_ENCODING" not in environ:
            return io.BytesIO()
        if isinstance(self._app, WsgiApp):
            use = self._app.body_use(environ)
            if use is BodyUse.WHOLE and (length is None or length <= BODY_BYTES_MAX):
                return io.BytesIO(await whole.read(length, BODY_BYTES_MAX))
            if use is BodyUse.AS_IT_COMES:
                large = _LargeBody(receive, length)
                await large.begin(self._bodies.partial)
                return io.BufferedReader(large)
        elif length is not None and length <= QUICK_BODY_BYTES_MAX:
            return io.BytesIO(await whole.read(length, length))
        return io.BufferedReader(_LargeBody(receive, length))

    def _begin(self, environ: WSGIEnvironment) -> asyncio.Future[_Answer] | UnavailableError:
        """Begin to answer on a thread, or return an error if too many requests wait for one."""
        if not isinstance(self._app, WsgiApp):
            return self._pools.run(Work.PAGE, self._answer, environ)
        try:
            return self._pools.begin(Work.PAGE, self._answer, environ)
        except UnavailableError as error:
            return error

    async def _refuse(self, error: ArchiveError, scope: Message, send: Send) -> None:
        core = cast("WsgiApp", self._app).core
        response = core.refuse(head_of(scope, core.prefix), error)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    async def _send(self, answer: _Answer, receive: Receive, send: Send) -> None:
        status, headers, body = answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": body})
            return
        leaving = asyncio.ensure_future(client_left(receive))
        try:
            await write_chunks(self._pools, body, leaving, send)
        finally:
            leaving.cancel()

    def _answer(self, environ: WSGIEnvironment) -> _Answer:
        """Call the application; on a thread."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            started[:] = int(status[:3]), encoded

        body = self._app(environ, cast("StartResponse", start_response))
        # A list is the whole body; anything else is made while it is written.
        return (*started, b"".join(body) if isinstance(body, list) else body)


class _LargeBody(io.RawIOBase):
    """A body that is received as it is read, on the thread of its request."""

    def __init__(self, receive: Receive, length: int | None) -> None:
        self._receive, self._loop = receive, asyncio.get_running_loop()
        self._part = memoryview(b"")
        self._has_more, self._is_cut_off = True, False
        self._length, self._received = length, 0

    def readable(self) -> bool:
        return True

    async def begin(self, budget: BodyBudget) -> None:
        """Receive its beginning, counted: 64 KiB or all that comes. UnavailableError without room."""
        parts: list[bytes] = []
        counted = 0
        try:
            while self._has_more and self._received <= QUICK_BODY_BYTES_MAX:
                more, counted = self._received - counted, self._received
                budget.add(more)
                parts.append(self._taken(await self._receive()))
        finally:
            budget.leave(counted)
        self._part = memoryview(b"".join(parts))

    def readinto(self, buffer: Any) -> int:
        """Raise CutOffError if the client goes away: a body that ends there would be taken for whole."""
        while not self._part and self._has_more:
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            self._part = memoryview(self._taken(message))
        if not self._part and self._is_cut_off:
            raise CutOffError(self._received, self._length)
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size

    def _taken(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            self._is_cut_off, self._has_more = True, False
            return b""
        part: bytes = message["body"]
        self._has_more = message["more_body"]
        self._received += len(part)
        return part

    async def _next(self) -> Message:
        return await self._receive()


def _environ(scope: Message) -> WSGIEnvironment:
    """Return what PEP 3333 asks for, but for ``wsgi.input``."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "yamcs_archive.scope": scope,  # for note_user
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue  # it would be taken for the header with a hyphen
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            name = f"HTTP_{name}"
        environ[name] = f"{environ[name]}, {value}" if name in environ else value
    return environ
