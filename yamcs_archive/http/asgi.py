"""The ASGI adapter: from an event loop to the core and back. Holds no rules.

It awaits a pending answer, so an event that is being made durable holds no thread. What reads the medium runs
on threads (``bridging``), a few chunks ahead where an answer is written as it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from yamcs_archive.archive import Archive
from yamcs_archive.http.application import Core
from yamcs_archive.http.asgi_threads import Calls, Inflow, Message, Outflow, Pools, Receive, Send
from yamcs_archive.http.bodies import Bodies
from yamcs_archive.http.errors import CutOffError
from yamcs_archive.http.live.websocket import Live
from yamcs_archive.http.messages import Call, Head, Pending, Response, Work
from yamcs_archive.http.routes import below
from yamcs_archive.limits import (
    INFLOW_BYTES_MAX,
    INFLOWS_BYTES_MAX,
    QUICK_BODY_BYTES_MAX,
)

PAGE_THREADS = 64
_SHORT_S = 0.1
"""From then on it is watched whether the client of an answer that is being made is still there."""


class AsgiApp:
    """An ASGI application over an open archive; works under any ASGI server. See :func:`create_asgi_app`."""

    def __init__(
        self,
        archive: Archive,
        page_threads: int = PAGE_THREADS,
        *,
        cors_origins: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        self.core = Core(archive, cors_origins=cors_origins, allowed_hosts=allowed_hosts, live=True)
        self.pools = Pools(page_threads)
        self._live = Live(archive, self.pools)
        self.bodies = Bodies()
        self.batches = 0
        """How many bodies come that are read as they come."""
        self._calls: Calls | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's own life."""
        if scope["type"] == "http":
            await _Exchange(self, receive, send).run(_head(scope))
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            head = _head(scope)
            refused = self.core.refusal(head)
            await self._live.serve(
                scope, refused, partial(self.core.refused, head), receive, send, calls=self.calls()
            )
        else:
            raise ValueError(f"ASGI scope {scope['type']!r} is not served")

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
        """Close all WebSockets, and wait for so long until they are; on a thread, not in the event loop."""
        self._live.hubs.close(wait_s)

    def inflow_bytes_max(self) -> int:
        """Return how many bytes of a batch may wait to be read."""
        return min(INFLOW_BYTES_MAX, INFLOWS_BYTES_MAX // max(1, self.batches))

    def calls(self) -> Calls:
        """Return what brings calls to the running loop."""
        if self._calls is None or self._calls.loop is not asyncio.get_running_loop():
            self._calls = Calls(asyncio.get_running_loop())
        return self._calls


def create_asgi_app(
    archive: Archive,
    page_threads: int = PAGE_THREADS,
    *,
    cors_origins: Iterable[str] = (),
    allowed_hosts: Iterable[str] = (),
) -> AsgiApp:
    """Return the ASGI application for an open archive, to put under a server or into another application.

    ``page_threads`` is how many pages of history are read at once; events that are stored take none of them.
    Pages of ``cors_origins`` (``https://ops.example``) may use it from a browser. ``allowed_hosts``
    (``ops.example``, or ``.example`` for all below it) are the names that clients know the server by, beside
    ``localhost`` and IP addresses: a request for another name is a 403. Raises InvalidInputError for a value
    that is no origin or host.

    >>> create_asgi_app(Archive.open(directory)).__class__.__name__
    'AsgiApp'
    """
    return AsgiApp(archive, page_threads, cors_origins=cors_origins, allowed_hosts=allowed_hosts)


class _Exchange:
    """One request and its answer."""

    def __init__(self, app: AsgiApp, receive: Receive, send: Send) -> None:
        self._app, self._receive, self._send = app, receive, send
        self._leaving: asyncio.Task[None] | None = None
        self._held_bytes = 0
        """Of the body."""

    async def run(self, head: Head) -> None:
        begun = self._app.core.begin(head)
        try:
            response = begun if isinstance(begun, Response) else await self._answer(head, begun)
            self._let_go_of_body()
            if response is not None:  # else the client went away
                await self._write(response)
        finally:
            self._let_go_of_body()
            if isinstance(begun, Call):
                begun.give_up()  # for who left: what is read on a thread would go on to its end
            if self._leaving is not None:
                self._leaving.cancel()

    async def _answer(self, head: Head, call: Call) -> Response | None:
        length = head.headers.get("content-length")
        said = int(length) if length else None  # the core has seen that it is a number
        if call.stream is not None:
            return await self._read_as_it_comes(call.stream, said)
        # A request without either header has no body, so there is nothing to wait for.
        whole = said is None and "transfer-encoding" not in head.headers
        body = b"" if whole else await self._body(call, said)
        if not isinstance(body, bytes):
            return body
        if call.work is Work.QUICK and len(body) <= QUICK_BODY_BYTES_MAX:
            answer = call.run(body)
        else:
            running = self._app.pools.run(call.work, call.run, body)
            if not await self._done(running):
                return None
            answer = running.result()
        del body  # so that it is not held while what it said is stored
        if isinstance(answer, Pending) and answer.poll:  # for minutes, and of its body nothing is left
            self._let_go_of_body()
        return answer if isinstance(answer, Response) else await self._wait(answer)

    async def _done(self, running: asyncio.Future[Response | Pending]) -> bool:
        """Wait for an answer that is made on a thread; False where the client goes away before."""
        try:
            await asyncio.wait({running}, timeout=_SHORT_S)  # most are short: nobody is watched for them
            if not running.done():
                either: set[asyncio.Future[Any]] = {running, self._left()}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not running.done():
                running.add_done_callback(_let_go)
        return running.done()

    async def _wait(self, pending: Pending) -> Response | None:
        ended = self._app.calls().end_of(pending.future)
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

    async def _body(self, call: Call, said: int | None) -> bytes | Response:
        """Read a whole body, never beyond the limit."""
        if said is not None and said > QUICK_BODY_BYTES_MAX:
            if not await self._app.bodies.enter(said):
                return call.crowded()
            self._held_bytes = said
        parts: list[bytes] = []
        got = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                # Gone, or still there, with chunks that are none: a server that got no answer would
                # say that the fault is its own.
                return call.cut_off(got, said)
            part: bytes = message.get("body", b"")
            got += len(part)
            if got > call.body_bytes_max:
                return call.too_large()
            if not message.get("more_body", False):
                if said is not None and got < said:
                    return call.cut_off(got, said)
                return b"".join((*parts, part))
            parts.append(part)
            more = max(0, got - self._held_bytes)
            if got > QUICK_BODY_BYTES_MAX and more:  # else it is small, and not counted
                self._held_bytes += more
                if not self._app.bodies.add(more):
                    return call.crowded()

    def _let_go_of_body(self) -> None:
        held, self._held_bytes = self._held_bytes, 0
        if held:
            self._app.bodies.leave(held)

    async def _read_as_it_comes(
        self, stream: Callable[[Iterable[bytes]], Response], said: int | None
    ) -> Response:
        self._app.batches += 1
        inflow = Inflow(self._app.inflow_bytes_max)
        filling = asyncio.ensure_future(inflow.fill(self._receive, said))
        reading = self._app.pools.run_batch(stream, inflow)
        try:
            return await reading
        finally:
            self._app.batches -= 1
            filling.cancel()
            inflow.end(CutOffError(0, said))

    def _left(self) -> asyncio.Task[None]:
        """Return what is done when the client goes away; only once the body was read."""
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(_left(self._receive))
        return self._leaving

    async def _write(self, response: Response) -> None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        if isinstance(response.body, bytes):
            await self._send({"type": "http.response.body", "body": response.body})
        else:
            await self._write_as_it_is_read(response.body)

    async def _write_as_it_is_read(self, chunks: Iterable[bytes]) -> None:
        """Write chunks, the next ones being read meanwhile, until the end or until the client goes away.

        An error passes to the server, which closes the connection without the last chunk.
        """
        outflow = Outflow(self._app.pools, chunks)
        left = self._left()
        left.add_done_callback(lambda _: outflow.close())
        try:
            while (chunk := await outflow.next()) is not None:
                with suppress(OSError):  # the client goes away: some servers say it like this as well
                    await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            if not left.done():
                await self._send({"type": "http.response.body", "body": b""})
        finally:
            outflow.close()


def _let_go(made: asyncio.Future[Response | Pending]) -> None:
    """End what an answer that nobody waits for has begun."""
    if made.cancelled() or made.exception() is not None:
        return
    answer = made.result()
    if isinstance(answer, Pending):
        if answer.poll:  # else it is an event, which is stored whoever hears of it
            answer.future.cancel()
    elif close := getattr(answer.body, "close", None):
        close()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _head(scope: Message) -> Head:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    path = below(scope.get("root_path", ""), scope["path"])
    return Head(scope.get("method", "GET"), path, scope["query_string"].decode("latin-1"), headers)
