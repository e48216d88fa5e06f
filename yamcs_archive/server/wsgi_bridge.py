"""Runs a WSGI application under the ASGI server: ``serve --wsgi``.

A request has a thread while the application makes its answer. A client that sends a small body slowly, or
reads slowly, holds none: the body is received before, and only a few chunks of an answer are made ahead.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from yamcs_archive.http.asgi_threads import Message, Pools, Receive, Send, client_left, write_chunks
from yamcs_archive.http.errors import CutOffError
from yamcs_archive.http.limits import QUICK_BODY_BYTES_MAX
from yamcs_archive.http.request_and_response import Work

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

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        environ = _environ(scope)
        environ["wsgi.input"] = await _input(environ, receive)
        status, headers, body = await self._pools.run(Work.PAGE, self._answer, environ)
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


async def _input(environ: WSGIEnvironment, receive: Receive) -> io.BufferedIOBase:
    """Return the file ``wsgi.input``: of a small body when it is all there, of a larger one at once."""
    length = environ.get("CONTENT_LENGTH")
    if "HTTP_TRANSFER_ENCODING" in environ or (length is not None and int(length) > QUICK_BODY_BYTES_MAX):
        return io.BufferedReader(_LargeBody(receive, None if length is None else int(length)))
    received = b""
    while length is not None and len(received) < int(length):
        message = await receive()
        received += message.get("body", b"")
        if not message.get("more_body", False):  # it has all come, or the client is gone
            break
    return io.BytesIO(received)


class _LargeBody(io.RawIOBase):
    """A body that is received as it is read, on the thread of its request."""

    def __init__(self, receive: Receive, length: int | None) -> None:
        self._receive, self._loop = receive, asyncio.get_running_loop()
        self._part = memoryview(b"")
        self._has_more = True
        self._length, self._received = length, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raise CutOffError if the client goes away: a body that ends there would be taken for whole."""
        while not self._part and self._has_more:
            message = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            if message["type"] == "http.disconnect":
                raise CutOffError(self._received, self._length)
            self._part, self._has_more = memoryview(message["body"]), message["more_body"]
            self._received += len(self._part)
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size

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
