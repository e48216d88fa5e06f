"""HTTP/1.1 and WebSockets as uvicorn speaks them, with what it lacks: limits above all.

Without them, a client that sends a head without end would fill the memory, one that sends nothing would hold
its connection for ever, one that stops within a body a thread, and one that reads nothing would hold up a
stop. And where a process may open no more files, the event loop ends new connections without a word: so the
last descriptors are left for the archive, and a connection that takes one of them gets an answer that says
why.

A request that two parsers could read in two ways ends its connection: a proxy in front may have read it in
the other way. The parser refuses most of them; the rest is refused here.

uvicorn takes the class of a connection as a setting, but does not promise the methods of its own classes, so
setup.cfg pins its minor version, and the tests of this room check their effects.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from yamcs_archive.http.limits import (
    HEAD_BYTES_MAX,
    HEAD_LINES_MAX,
    HEAD_S_MAX,
    PIPELINED_MAX,
    RECEIVED_BYTES_MIN,
    RECEIVED_PERIOD_S,
    WEBSOCKET_SEND_BYTES,
)
from yamcs_archive.http.live.websocket import FRAMES
from yamcs_archive.server.connections import Connections
from yamcs_archive.server.moving_bytes import SendingWatch
from yamcs_archive.server.websocket_frames import written

_TLS_BEGINS = b"\x16"
"""The first byte of a TLS handshake, which no request begins with."""
_SPEAKS_TLS = (
    "a client speaks TLS to this port, which speaks plain HTTP: its URL must begin with http://, or this"
    " server be started with --tls-certificate and --tls-key"
)
_UNAVAILABLE, _TIMEOUT = "ServiceUnavailableException", "RequestTimeoutException"
_TOO_SLOW = (
    f"fewer than {RECEIVED_BYTES_MIN} bytes of the body came in {RECEIVED_PERIOD_S} s: send it again, faster"
)
_TOO_LARGE = f"A request has at most {HEAD_LINES_MAX} headers, and {HEAD_BYTES_MAX} bytes before its body.\n"


class _WatchedSending(asyncio.Protocol):
    """What HTTP and WebSockets share: a client that takes nothing of what waits for it is cut off."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _sending: SendingWatch | None = None

    def pause_writing(self) -> None:
        """Look whether the client takes what waits for it."""
        super().pause_writing()
        if self._sending is None:
            self._sending = SendingWatch(self.loop, self.transport)
        self._sending.begin()

    def resume_writing(self) -> None:
        """Look no longer."""
        super().resume_writing()
        if self._sending is not None:
            self._sending.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no longer."""
        if self._sending is not None:
            self._sending.end()
        super().connection_lost(exc)


class BoundedHttp(_WatchedSending, HttpToolsProtocol):
    """A connection for requests. What is too large is a 431, what takes too long a 408 or the end of it."""

    _is_new = True
    """Until the first bytes come."""
    _in_head = _in_body = False
    _head_bytes = 0
    """Bytes received since the head began, until it ended; later, those that brought nothing of the body."""
    _head_deadline: asyncio.TimerHandle | None = None
    _body_bytes = 0
    """Bytes of the body that have come."""
    _body_timer: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, all_connections: Connections, **named: Any) -> None:
        """``all_connections`` are those of the server; the rest is uvicorn's."""
        super().__init__(*given, **named)
        self._all = all_connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head; the wait for a later one is uvicorn's to limit."""
        super().connection_made(cast(asyncio.Transport, transport))
        why = self._all.refusal(len(self.connections), transport.get_extra_info("socket"))
        if why is not None:
            self._answer(503, "Service Unavailable", _UNAVAILABLE, why, b"retry-after: 1\r\n")
            return
        self._all.wait(self)
        self._limit_head_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        self._end_body()
        self._all.go_on(self)
        super().connection_lost(exc)

    def end(self) -> None:
        """End a connection that waits for a request."""
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what has come; refuse a head that goes on for too long."""
        if self._is_new:
            self._is_new = False
            if data.startswith(_TLS_BEGINS):
                self._refuse_tls()
                return
        before = self._body_bytes
        super().data_received(data)
        if self._in_body:
            # Only a body that comes in several parts gets here. Nothing else ends extensions and trailers.
            self._head_bytes = 0 if self._body_bytes > before else self._head_bytes + len(data)
            if self._head_bytes > HEAD_BYTES_MAX or len(self.headers) > HEAD_LINES_MAX:
                self._end_body()
                self.transport.close()
            elif self._body_timer is None:
                self._limit_body_time()
            return
        if self._body_timer is not None:
            self._end_body()
        if not self._in_head:
            return
        # Only a head that comes in several parts gets here.
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX or len(self.headers) > HEAD_LINES_MAX:
            self._refuse_head()
        elif self._head_deadline is None:
            self._limit_head_time()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """End a head, and begin to answer the request."""
        self._end_head()
        if len(self.headers) > HEAD_LINES_MAX:
            raise ValueError("too many headers")  # the parser stops, and send_400_response is called
        self._check_framing()
        if len(self.pipeline) >= PIPELINED_MAX:
            self.transport.close()
            raise ValueError("too many requests at once")
        self._all.go_on(self)
        self._in_body, self._head_bytes = True, 0
        if self.parser.should_upgrade():
            self._join_connection_headers()
            super().on_headers_complete()
            if not self._should_upgrade():
                self.cycle.keep_alive = False  # the parser reads nothing after a request for an upgrade
        else:
            super().on_headers_complete()
            self.headers = []  # trailers come here, and are no headers of the request

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End an answer, and wait for the next request."""
        super().on_response_complete()
        if not self.pipeline:
            self._all.wait(self)

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is malformed."""
        if self.transport.is_closing():
            return
        if self.headers is not None and len(self.headers) > HEAD_LINES_MAX:
            self._refuse_head()
        elif self.cycle is not None and not (self.cycle.response_complete or self._in_body):
            self.transport.close()  # an answer here would be taken for that of the request before
        else:
            super().send_400_response(msg)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to a WebSocket; what is watched here is not watched any more."""
        self._in_body = False
        self._end_body()
        super().handle_websocket_upgrade()

    def _check_framing(self) -> None:
        """Raise ValueError for a head that others could read in another way."""
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise ValueError("no version of HTTP that is spoken here")
        upgrades = self.parser.should_upgrade()
        if upgrades and self.parser.get_method() != b"GET":
            raise ValueError("an upgrade with another method")
        for name, value in self.headers:
            # The parser takes a list that ends with chunked, and would give a body that is compressed.
            if name == b"transfer-encoding" and (
                version == "1.0" or value.strip(b" \t").lower() != b"chunked"
            ):
                raise ValueError("no transfer coding that is known here")
            if upgrades and name in (b"transfer-encoding", b"content-length"):
                raise ValueError("an upgrade with a body")
        if not self.url.startswith(b"/") and b"://" in self.url:
            # The URL's own host counts as well; of two that differ none is a name of the server.
            host = self.url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
            if (b"host", host) not in self.headers:
                self.headers.append((b"host", host))

    def _join_connection_headers(self) -> None:
        # The official client sends two in the handshake of its WebSocket, and uvicorn looks at the last one.
        values = [value for name, value in self.headers if name == b"connection"]
        self.headers[:] = [header for header in self.headers if header[0] != b"connection"]
        self.headers.append((b"connection", b", ".join(values)))

    def _answer(self, status: int, phrase: str, kind: str, why: str, header: bytes = b"") -> None:
        """Answer for the application, and end the connection."""
        body = json.dumps({"code": status, "type": kind, "msg": why}, indent=2).encode()
        self.transport.write(
            f"HTTP/1.1 {status} {phrase}\r\nconnection: close\r\n".encode()
            + header
            + f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.transport.close()
        self._all.refused(f"{status} {kind}", why)

    def _refuse_tls(self) -> None:
        # To a client of TLS any other answer is as unreadable, and this one can be read in a dump.
        super().send_400_response("This port speaks plain HTTP: use http:// or ws:// URLs")
        self._all.refused("400 TLS", _SPEAKS_TLS)

    def _refuse_head(self) -> None:
        self._end_head()
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
            b"content-type: text/plain; charset=utf-8\r\n"
            + f"content-length: {len(_TOO_LARGE)}\r\n\r\n{_TOO_LARGE}".encode()
        )
        self.transport.close()

    def _limit_head_time(self) -> None:
        self._head_deadline = self.loop.call_later(HEAD_S_MAX, self.transport.close)

    def _end_head(self) -> None:
        self._in_head = False
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _limit_body_time(self) -> None:
        self._body_timer = self.loop.call_later(RECEIVED_PERIOD_S, self._look_at_body, self._body_bytes)

    def _look_at_body(self, before: int) -> None:
        if self.flow.read_paused or self._body_bytes - before >= RECEIVED_BYTES_MIN:
            self._limit_body_time()  # what the server does not read is not the client's fault
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self._answer(408, "Request Timeout", _TIMEOUT, _TOO_SLOW)

    def _end_body(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None


class BoundedWebSocket(_WatchedSending, WebSocketsSansIOProtocol):
    """A WebSocket. A stop ends it at once if its client does not read. It sends many frames at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what the system holds for the client: it lets a buffer grow to megabytes by itself."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WEBSOCKET_SEND_BYTES)

    async def run_asgi(self) -> None:
        """Have the application serve it."""
        cast(dict[str, Any], self.scope["extensions"])[FRAMES] = {}
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        """Send what the application says: many frames with as few writes as their size allows."""
        if FRAMES not in message:
            await super().send(message)
            return
        for part in written(message[FRAMES]):
            await self.writable.wait()
            if self.disconnected or self.close_sent or self.transport.is_closing():
                raise ClientDisconnected
            self.transport.write(part)

    def data_received(self, data: bytes) -> None:
        """Take what has come; refuse a handshake that cannot be read, which uvicorn leaves open."""
        super().data_received(data)
        if not self.handshake_initiated:
            self._refuse_handshake()

    def handle_parser_exception(self) -> None:
        """End a connection after a frame that cannot be read."""
        if self.conn.close_sent is not None:
            super().handle_parser_exception()

    def _refuse_handshake(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def shutdown(self) -> None:
        """End the connection: the server stops, and the application has closed it before."""
        if self.transport.get_write_buffer_size() or self.transport.is_closing():
            # What is not sent yet waits for a client that reads nothing. Or it is closing already, which
            # takes a second with TLS, and cannot be closed again.
            self.transport.abort()
        else:
            super().shutdown()
