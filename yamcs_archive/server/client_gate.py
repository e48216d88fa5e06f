"""Limits the requests of one client before the application sees them: an ASGI application around another."""

from __future__ import annotations

from typing import Any

from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi import head_of
from yamcs_archive.http.asgi_threads import Message, Receive, Send
from yamcs_archive.http.client_limits import ClientLimits
from yamcs_archive.http.live.websocket import refuse as refuse_websocket
from yamcs_archive.http.request_and_response import Response


class ClientGate:
    """Passes requests and WebSockets on, or answers for the application ``core``."""

    def __init__(self, app: Any, limits: ClientLimits, core: Application) -> None:
        self._app, self._limits, self._core = app, limits, core

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, one WebSocket, or the start and end of the server."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        head = head_of(scope, self._core.prefix)
        address = self._core.services.proxies.client(head)
        try:
            self._limits.enter(address)
        except ArchiveError as error:
            await self._answer(self._core.refuse(head, error), scope, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._limits.leave(address)

    async def _answer(self, response: Response, scope: Message, send: Send) -> None:
        if scope["type"] == "websocket":
            await refuse_websocket(response, scope, send)
            return
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})
