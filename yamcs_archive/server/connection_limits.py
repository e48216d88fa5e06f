"""HTTP/1.1 and WebSockets as uvicorn speaks them, with what it lacks: limits above all.

Without them, a client that sends a head without end would fill the memory, one that sends nothing would hold
its connection for ever, and one that reads nothing would hold up a stop. And where a process may open no more
files, the event loop ends new connections without a word: so the last descriptors are left for the archive,
and a connection that takes one of them gets an answer that says why.

uvicorn takes the class of a connection as a setting, but does not promise the methods of its own classes, so
setup.cfg pins its minor version, and ``tests/server/test_connection_limits.py`` checks their effects.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from yamcs_archive.http.limits import HEAD_BYTES_MAX, HEAD_LINES_MAX, HEAD_S_MAX

DESCRIPTORS_LEFT_MIN = 32
"""Number of the process's last file descriptors that no connection gets."""
_NO_DESCRIPTOR = (
    "this server has as many connections as it may have open files: close some, or raise the limit of its"
    " process (ulimit -n, LimitNOFILE= in a systemd unit)"
)
_TLS_BEGINS = b"\x16"
"""The first byte of a TLS handshake, which no request begins with."""
_SPEAKS_TLS = (
    "a client speaks TLS to this port, which speaks plain HTTP: its URL must begin with http://, or this"
    " server be started with --tls-certificate and --tls-key"
)
_UNAVAILABLE = "ServiceUnavailableException"
_TOO_LARGE = f"A request has at most {HEAD_LINES_MAX} headers, and {HEAD_BYTES_MAX} bytes before its body.\n"


class BoundedHttp(HttpToolsProtocol):
    """A connection for requests. A head that is too large is a 431; one that takes too long ends it."""

    _in_head = False
    _head_bytes = 0
    """Bytes received since the head began, until it ended."""
    _head_deadline: asyncio.TimerHandle | None = None

    def __init__(self, *given: Any, refused: Callable[[str, str], None], **named: Any) -> None:
        """``refused`` is called with the kind and the reason of a refusal; the rest is uvicorn's."""
        super().__init__(*given, **named)
        self._refused = refused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head; the wait for a later one is uvicorn's to limit."""
        super().connection_made(cast(asyncio.Transport, transport))
        if _is_last(transport.get_extra_info("socket")):
            self._refuse_connection()
        else:
            self._limit_head_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; refuse a head that goes on for too long."""
        if self.headers is None and data[:1] == _TLS_BEGINS:
            self._refuse_tls()
            return
        super().data_received(data)
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
        if self.parser.should_upgrade():
            self._join_connection_headers()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is malformed."""
        if self.headers is not None and len(self.headers) > HEAD_LINES_MAX:
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def _join_connection_headers(self) -> None:
        # The official client sends two in the handshake of its WebSocket, and uvicorn looks at the last one.
        values = [value for name, value in self.headers if name == b"connection"]
        self.headers[:] = [header for header in self.headers if header[0] != b"connection"]
        self.headers.append((b"connection", b", ".join(values)))

    def _refuse_connection(self) -> None:
        body = json.dumps({"code": 503, "type": _UNAVAILABLE, "msg": _NO_DESCRIPTOR}, indent=2).encode()
        self.transport.write(
            b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n"
            b"content-type: application/json\r\n" + f"content-length: {len(body)}\r\n\r\n".encode() + body
        )
        self.transport.close()
        self._refused(f"503 {_UNAVAILABLE}", _NO_DESCRIPTOR)

    def _refuse_tls(self) -> None:
        # To a client of TLS any other answer is as unreadable, and this one can be read in a dump.
        super().send_400_response("This port speaks plain HTTP: use http:// or ws:// URLs")
        self._refused("400 TLS", _SPEAKS_TLS)

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


def _is_last(connection: socket.socket) -> bool:
    """Return whether a connection has one of the last descriptors: the system gives the lowest free one."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit != resource.RLIM_INFINITY and connection.fileno() >= limit - DESCRIPTORS_LEFT_MIN


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket. A stop ends it at once if its client does not read."""

    def shutdown(self) -> None:
        """End the connection: the server stops, and the application has closed it before."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # what is not sent yet waits for a client that reads nothing
        else:
            super().shutdown()
