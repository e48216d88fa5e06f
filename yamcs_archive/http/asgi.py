"""The ASGI adapter: from an event loop to the application and back. Holds no rules.

It awaits a pending answer, so an event that is being made durable holds no thread. What reads the medium runs
on threads (``asgi_threads``), a few chunks ahead if an answer is written as it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, UnavailableError
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi_threads import (
    LoopWaker,
    Message,
    Pools,
    Receive,
    RequestBody,
    Send,
    client_left,
    write_chunks,
)
from yamcs_archive.http.errors import CutOffError
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import INFLOW_BYTES_MAX, INFLOWS_BYTES_MAX, QUICK_BODY_BYTES_MAX
from yamcs_archive.http.live.websocket import Live
from yamcs_archive.http.request_and_response import Head, Pending, Response, Work, note_user
from yamcs_archive.http.request_bodies import BodyBudgets, WholeBody
from yamcs_archive.http.routes import below

PAGE_THREADS = 64
_SHORT_S = 0.1
"""Seconds that an answer is being made before its client is watched for leaving."""


class AsgiApp:
    """An ASGI application over an open archive; works under any ASGI server. See :func:`create_asgi_app`."""

    def __init__(
        self,
        archive: Archive,
        page_threads: int = PAGE_THREADS,
        *,
        cors_origins: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
        operations: bool = False,
        access: AccessOptions | None = None,
    ) -> None:
        self.core = Application(
            archive,
            cors_origins=cors_origins,
            allowed_hosts=allowed_hosts,
            live=True,
            operations=operations,
            access=access,
        )
        self.pools = Pools(page_threads)
        self._live = Live(archive, self.pools, self.core.services.authentication)
        self.core.services.observation.live = self._live.hubs.state
        self.bodies = BodyBudgets()
        self.batches = 0
        """Number of batches whose bodies are being read."""
        self._waker: LoopWaker | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, one WebSocket, or the start and end of the server."""
        if scope["type"] == "http":
            await _RequestTask(self, receive, send).run(self._head(scope), scope)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            begun = self.core.handshake(self._head(scope))
            if isinstance(begun, Future):
                await self.waker().end_of(begun)
                begun = begun.result()
            if begun.user:
                note_user(scope, begun.user)
            await self._live.serve(scope, begun, receive, send, self.waker())
        else:
            raise ValueError(f"ASGI scope {scope['type']!r} is not served")

    def _head(self, scope: Message) -> Head:
        """Return the head of a request, with the path below the prefix that a proxy may leave in it.

        From here on the client of the scope is the one that a trusted proxy names, for the access log.
        """
        head = head_of(scope, self.core.prefix)
        client = self.core.services.proxies.client(head)
        if client != head.address:
            scope["client"] = (client, 0)
        return head

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                self._live.hubs.close()
                self.pools.close()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    def end_polls(self) -> None:
        """Let every answer that waits for something to be stored leave now: serving ends."""
        self.core.end_polls()

    def end_live(self, wait_s: float) -> None:
        """Close all WebSockets, and wait up to ``wait_s`` for that; on a thread, not in the event loop."""
        self._live.hubs.close(wait_s)

    def batch_queue_limit(self) -> int:
        """Return the number of bytes of a batch that may wait to be read."""
        return min(INFLOW_BYTES_MAX, INFLOWS_BYTES_MAX // max(1, self.batches))

    def waker(self) -> LoopWaker:
        """Return the waker of the running loop."""
        if self._waker is None or self._waker.loop is not asyncio.get_running_loop():
            self._waker = LoopWaker(asyncio.get_running_loop())
        return self._waker


def create_asgi_app(
    archive: Archive,
    page_threads: int = PAGE_THREADS,
    *,
    cors_origins: Iterable[str] = (),
    allowed_hosts: Iterable[str] = (),
    operations: bool = False,
    access: AccessOptions | None = None,
) -> AsgiApp:
    """Return the ASGI application for an open archive, to put under a server or into another application.

    ``page_threads`` is how many pages of history are read at once; events that are stored take none of them.
    Pages of ``cors_origins`` (``https://ops.example``) may use it from a browser. ``allowed_hosts``
    (``ops.example``, or ``.example`` for all below it) are the names that clients know the server by, beside
    ``localhost`` and IP addresses: a request for another name is a 403. ``operations`` allows the routes that
    delete or read everything (``:verify``), to everybody who can reach the server; without it each is a 403.
    ``access`` has the users file, from which each request's sender must be then, and what it says is
    permitted. Raises InvalidInputError for a value that is no origin or host, and for a users file that
    cannot be used.

    >>> create_asgi_app(Archive.open(directory)).__class__.__name__
    'AsgiApp'
    """
    return AsgiApp(
        archive,
        page_threads,
        cors_origins=cors_origins,
        allowed_hosts=allowed_hosts,
        operations=operations,
        access=access,
    )


class _RequestTask:
    """Carries one request through its exchange: receives the body, waits for the answer, sends it."""

    def __init__(self, app: AsgiApp, receive: Receive, send: Send) -> None:
        self._app, self._receive, self._send = app, receive, send
        self._leaving: asyncio.Task[None] | None = None
        self._body = WholeBody(app.bodies, receive)

    async def run(self, head: Head, scope: Message) -> None:
        begun = self._app.core.begin(head)
        if isinstance(begun, Future):  # a password is being checked
            await self._app.waker().end_of(begun)
            begun = begun.result()
        if begun.user:
            note_user(scope, begun.user)
        try:
            response = begun if isinstance(begun, Response) else await self._answer(begun)
            self._body.let_go()
            if response is not None:  # else the client went away
                await self._write(response)
        finally:
            self._body.let_go()
            if isinstance(begun, Exchange):
                begun.abandon()  # if the client left, what a thread reads would go on to its end
            if self._leaving is not None:
                self._leaving.cancel()

    async def _answer(self, exchange: Exchange) -> Response | None:
        if exchange.streams:
            return await self._read_as_it_comes(exchange)
        try:
            body = await self._receive_whole(exchange)
        except ArchiveError as error:
            return exchange.refuse(error)
        if exchange.work is Work.QUICK and len(body) <= QUICK_BODY_BYTES_MAX:
            answer = exchange.run(body)
        else:
            try:
                running = self._app.pools.begin(exchange.work, exchange.run, body)
            except UnavailableError as error:
                return exchange.refuse(error)
            if not await self._done(running):
                return None
            answer = running.result()
        del body  # so that it is not held while its event is stored
        if isinstance(answer, Pending) and answer.poll:  # for minutes, and nothing of its body is needed
            self._body.let_go()
        return answer if isinstance(answer, Response) else await self._wait(answer)

    async def _done(self, running: asyncio.Future[Response | Pending[Response]]) -> bool:
        """Wait for an answer that is made on a thread; False if the client goes away before."""
        try:
            await asyncio.wait({running}, timeout=_SHORT_S)  # most are short, and need no watch
            if not running.done():
                either: set[asyncio.Future[Any]] = {running, self._left()}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not running.done():
                running.add_done_callback(_let_go)
        return running.done()

    async def _wait(self, pending: Pending[Response]) -> Response | None:
        ended = self._app.waker().end_of(pending.future)
        if pending.work is Work.QUICK:
            await ended
            if pending.is_large(pending.future):
                return await self._app.pools.run(Work.PAGE, pending.finish, pending.future)
            return pending.finish(pending.future)
        try:
            await asyncio.wait({ended, self._left()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not ended.done():
                pending.future.cancel()
        if not ended.done():
            return None
        return await self._app.pools.run(pending.work, pending.finish, pending.future)

    async def _receive_whole(self, exchange: Exchange) -> bytes:
        """Receive a whole body, never beyond the limit; an ArchiveError to refuse the request with."""
        length = exchange.content_length
        if length is None and "transfer-encoding" not in exchange.head.headers:
            return b""  # a request without either header has no body, so there is nothing to wait for
        return await self._body.read(length, exchange.body_bytes_max)

    async def _read_as_it_comes(self, exchange: Exchange) -> Response | None:
        length = exchange.content_length
        body = RequestBody(self._app.batch_queue_limit, self._app.bodies.partial)
        receiving = asyncio.ensure_future(body.fill(self._receive, length))
        try:
            if (error := await body.begun()) is not None:
                return exchange.refuse(error)
            self._app.batches += 1
            try:
                answer = await self._app.pools.run_batch(exchange.run, body)
            finally:
                self._app.batches -= 1
        finally:
            receiving.cancel()
            body.end(CutOffError(0, length))
        return answer if isinstance(answer, Response) else await self._wait(answer)

    def _left(self) -> asyncio.Task[None]:
        """Return a task that ends when the client goes away; to be used once the body was received."""
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(client_left(self._receive))
        return self._leaving

    async def _write(self, response: Response) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        if isinstance(response.body, bytes):
            await self._send({"type": "http.response.body", "body": response.body})
        else:
            await write_chunks(self._app.pools, response.body, self._left(), self._send)


def _let_go(made: asyncio.Future[Response | Pending[Response]]) -> None:
    """End what an answer has begun that nobody waits for."""
    if made.cancelled() or made.exception() is not None:
        return
    answer = made.result()
    if isinstance(answer, Pending):
        if answer.poll:  # an event is stored whether its client is there or not
            answer.future.cancel()
    elif close := getattr(answer.body, "close", None):
        close()


def head_of(scope: Message, prefix: str) -> Head:
    """Return the head of a request or of a handshake; ``prefix`` is where the server is mounted."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path = below(scope.get("root_path", "") or prefix, scope["path"])
    client, server = scope.get("client"), scope.get("server")
    return Head(
        scope.get("method", "GET"),
        path,
        scope["query_string"].decode("latin-1"),
        headers,
        client[0] if client else "",
        scope.get("scheme", "http"),
        server[0] if server else "",
    )
