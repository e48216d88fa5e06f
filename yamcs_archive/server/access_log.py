"""The access log: a record for each request and WebSocket when it has ended.

It wraps an ASGI application. Without it nothing is wrapped, so it costs nothing.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import quote

from yamcs_archive.http.live.websocket import FRAMES
from yamcs_archive.http.request_and_response import SCOPE_USER
from yamcs_archive.server.log_lines import FIELDS

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ACCESS = "yamcs_archive.access"
"""The name of the logger."""
_log = logging.getLogger(ACCESS)
PATH_CHARACTERS_MAX = 2048
"""Longest path that is logged, in characters; of a longer one the beginning is kept."""
_PLAIN = re.compile(r"\w[\w.@+-]*")
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\')
"""Characters of a path that are logged as they are; a percent sign is one of them."""
_SAFE_PATH = re.compile(b"[" + re.escape(_SAFE.encode()) + b"]*")
_SWITCHING, _FAILED = 101, 500


class AccessLog:
    """An ASGI application that logs the requests of another one.

    The path is logged as it was sent, without the query, which may be private. The address is that of the
    connection, or what the application has put in its place; the user is what ``note_user`` has noted. The
    bytes are those of the body of the answer, or of the frames of a WebSocket. The status is None if the
    client left before there was an answer.
    """

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve and log one request or one WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        begun_s = perf_counter()
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            answer.status = answer.status or _FAILED  # the answer that a server makes
            raise
        finally:
            _say(scope, answer, perf_counter() - begun_s)


class _Answer:
    """Counts what is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.size_bytes = 0

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.body", "websocket.http.response.body"):
            self.size_bytes += len(message.get("body", b""))
        elif kind in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
        elif kind == "websocket.accept":
            self.status = _SWITCHING
        elif kind == "websocket.send":
            for frame in message.get(FRAMES) or (message.get("bytes"), message.get("text")):
                self.size_bytes += len(frame.encode() if isinstance(frame, str) else frame or b"")
        elif kind == "websocket.close" and self.status is None:
            self.status = 403  # as ASGI says
        await self._send(message)


def _say(scope: Message, answer: _Answer, duration_s: float) -> None:
    if not _log.isEnabledFor(logging.INFO):
        return
    client = scope.get("client")
    address = str(client[0]) if client else None
    user = scope.get(SCOPE_USER)
    method = str(scope.get("method", "GET"))
    path = _path(scope)
    shown = "-" if user is None else user if _PLAIN.fullmatch(user) else json.dumps(user)
    status = "-" if answer.status is None else answer.status
    # Made here, because info() would look through the stack for its caller.
    record = logging.LogRecord(
        *(ACCESS, logging.INFO, __file__, 0, '%s %s "%s %s" %s %d %.6f'),
        (address or "-", shown, method, path, status, answer.size_bytes, duration_s),
        None,
    )
    record.__dict__[FIELDS] = {
        "address": address,
        "user": user,
        "method": method,
        "path": path,
        "status": answer.status,
        "bytes": answer.size_bytes,
        "duration_s": round(duration_s, 6),
    }
    _log.handle(record)


def _path(scope: Message) -> str:
    raw = scope.get("raw_path")
    raw = scope["path"].encode("utf-8", "surrogateescape") if raw is None else raw
    path = raw.decode("ascii") if _SAFE_PATH.fullmatch(raw) else quote(raw, safe=_SAFE)
    return path if len(path) <= PATH_CHARACTERS_MAX else f"{path[:PATH_CHARACTERS_MAX]}…"
