"""The ASGI adapter of WebSockets: frames from and to an event loop. Holds no rules.

One task reads frames, one writes them; the first that ends, ends the connection. The server itself sends and
answers pings. The kernel notices a client that vanished, because it probes connections
(``server.listening_socket``); a client that stops reading is noticed by the time that a frame takes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from yamcs_archive.archive import Archive
from yamcs_archive.errors import UnavailableError
from yamcs_archive.http.asgi_threads import LoopWaker, Message, Pools, Receive, Send
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import LIVE_SEND_S
from yamcs_archive.http.live.hub import Hubs
from yamcs_archive.http.live.send_queue import NORMAL, SendQueue
from yamcs_archive.http.live.session import Session, frames_of, granted
from yamcs_archive.http.live.turns import Turns
from yamcs_archive.http.request_and_response import Response, Work

if TYPE_CHECKING:
    from yamcs_archive.http.access.authentication import Authentication  # needs the extra

FRAMES = "yamcs_archive.frames"
"""The extension of a server that sends all frames of a turn for one message: ``websocket.send`` with a list
of them under this name, instead of ``text`` or ``bytes``. That takes a tenth of the time."""

_FRAMES_AT_ONCE = 32
"""Frames of a turn: sending them takes a third of the time of the posts of 32 busy connections."""
_FULL_S = 0.05
"""Seconds between checks for room; only while a client sends requests faster than it reads replies."""
_SHORT_FRAME = 1 << 10
"""Characters of a frame that the loop itself reads; a longer one may have a filter that takes a while."""


class Live:
    """The WebSockets of an application."""

    def __init__(self, archive: Archive, pools: Pools, authentication: Authentication | None) -> None:
        self._archive, self._pools, self._authentication = archive, pools, authentication
        self.hubs = Hubs()
        self._turns = Turns()

    async def serve(
        self,
        scope: Message,
        begun: Response | Exchange,
        receive: Receive,
        send: Send,
        waker: LoopWaker,
    ) -> None:
        """Answer a handshake and, if it is not refused, serve the WebSocket until one side closes it."""
        if (await receive())["type"] != "websocket.connect":
            return
        ready, given_up = asyncio.Event(), asyncio.Event()
        subprotocol = granted(scope.get("subprotocols") or [])
        queue = SendQueue(
            frames_of(subprotocol),
            wake=lambda: waker.soon(ready.set),
            give_up=lambda: waker.soon(given_up.set),
        )
        if isinstance(begun, Exchange):
            try:
                self.hubs.enter(queue)
            except UnavailableError as error:
                begun = begun.refuse(error)
        if isinstance(begun, Response):
            await refuse(begun, scope, send)
            return
        caller, head, authentication = begun.caller, begun.head, self._authentication
        session = Session(self._archive, self.hubs, queue, caller)

        def look_again() -> None:
            if authentication is not None:
                session.permitted_now(authentication.still(caller, head))

        try:
            if authentication is not None:
                authentication.listen(look_again)
                look_again()  # what changed since the handshake began
            await send({"type": "websocket.accept", "subprotocol": subprotocol})
            begun.upgraded()
            if FRAMES not in (scope.get("extensions") or {}):
                send = _one_by_one(send)
            exchange = asyncio.ensure_future(self._exchange(session, queue, ready, receive, send))
            giving_up = asyncio.ensure_future(given_up.wait())
            try:
                await asyncio.wait({exchange, giving_up}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Nothing may be on its way when the server ends.
                giving_up.cancel()
                await _ended(exchange)
        finally:
            if authentication is not None:
                authentication.unlisten(look_again)
            queue.close(NORMAL, "Bye")
            session.close()
            self.hubs.leave(queue)

    async def _exchange(
        self, session: Session, queue: SendQueue, ready: asyncio.Event, receive: Receive, send: Send
    ) -> None:
        reading = asyncio.ensure_future(self._read(session, queue, receive))
        writing = asyncio.ensure_future(_write(queue, ready, self._turns, send))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Some servers cannot close a connection while a frame is waited for.
            await _ended(reading)
            await _ended(writing)
            if not writing.cancelled() and isinstance(writing.exception(), TimeoutError):
                session.note_cut_off()
        if queue.closing is not None and not writing.cancelled() and writing.exception() is None:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(LIVE_SEND_S):
                    await send({"type": "websocket.close", **queue.closing._asdict()})

    async def _read(self, session: Session, queue: SendQueue, receive: Receive) -> None:
        """Take frames until the client is gone, none while there is much to send to it."""
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            frame: str | bytes = message["bytes"] if text is None else text
            if len(frame) <= _SHORT_FRAME:
                session.received(frame)
            else:
                await self._pools.run(Work.PAGE, session.received, frame)
            while queue.full and queue.closing is None:
                await asyncio.sleep(_FULL_S)


async def _write(queue: SendQueue, ready: asyncio.Event, turns: Turns, send: Send) -> None:
    """Send frames as they come, until a close was asked for and all before it is sent."""
    while True:
        await ready.wait()
        ready.clear()
        closing = queue.closing  # before the last look: nothing goes in after it
        await turns.take()
        while frames := queue.take(_FRAMES_AT_ONCE):
            async with asyncio.timeout(LIVE_SEND_S):
                await send({"type": "websocket.send", FRAMES: frames})
            await turns.take()
        if closing is not None:
            return


def _one_by_one(send: Send) -> Send:
    """Return how to send the frames of a message to a server that takes one at a time."""

    async def send_each(message: Message) -> None:
        if FRAMES not in message:
            await send(message)
            return
        for frame in message[FRAMES]:
            kind = "text" if isinstance(frame, str) else "bytes"
            await send({"type": "websocket.send", kind: frame})

    return send_each


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, OSError | TimeoutError):
        raise error  # those two say that the client is gone, or does not read


async def refuse(response: Response, scope: Message, send: Send) -> None:
    """Answer a handshake with a response, where the server can; with its own 403 where it cannot."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": response.body})
