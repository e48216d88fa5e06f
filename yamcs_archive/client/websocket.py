"""A subscription to the events of an instance, over the WebSocket of a Yamcs server or of a served archive.

1. It goes the same way as the requests of its transport, with the same credentials.
2. A thread takes frames from the socket all the time, because a server may drop the frames of a client that
   does not keep up. Up to a limit they wait in memory; beyond it the subscription is lost.
3. A subscription that lost an event, or may have, is over: a gap in the server's numbers is one, and so is a
   frame that cannot be read. Its user reads the history again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from yamcs_archive.client.transport import Transport
from yamcs_archive.client.way import CONNECT_S
from yamcs_archive.credentials import advice
from yamcs_archive.errors import InvalidInputError, ServerRefusedError, ServerUnavailableError
from yamcs_archive.wire.live_client import SUBPROTOCOLS, LiveEvent, Reply, read, subscription

PATH = "/api/websocket"
_FRAME_BYTES_MAX = 16 << 20
"""Several times the largest event."""
_WAITING_BYTES_MAX = 64 << 20
_FRAME_BYTES = 200
"""Memory that a frame takes beside its bytes, roughly."""
REPLY_S = 30.0
"""Longest wait for the reply to a subscription, in seconds."""
_PING_S = 20.0
_CLOSE_S = 2.0


class LiveEvents:
    """The events that an instance's server publishes from now on. Close it, or use it as a context manager.

    Raises ServerUnavailableError if there is no answer, and ServerRefusedError if the server refuses, so that
    asking again would not help.
    """

    def __init__(self, transport: Transport, instance: str) -> None:
        self._url, self._credentials = transport.url, transport.credentials
        self._changed = threading.Condition()
        self._waiting: deque[bytes | InvalidInputError] = deque()
        self._bytes = 0
        self._lost: str | None = None
        self._opened = ExitStack()
        self._socket = _connected(transport, self._opened)
        try:
            self._call = self._subscribed(instance)
            self._thread = threading.Thread(target=self._take, name="yamcs-archive-live", daemon=True)
            self._thread.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LiveEvents:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self, wait_s: float) -> Sequence[bytes | InvalidInputError]:
        """Return the messages that came, waiting up to ``wait_s`` seconds for one; [] if none came.

        A message that cannot be read is the reason for it. Raises ServerUnavailableError once all that came
        are returned and the subscription is over.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._lost is not None, wait_s)
            found = list(self._waiting)
            self._waiting.clear()
            self._bytes = 0
            if not found and self._lost is not None:
                raise ServerUnavailableError(self._url, f"{self._url}: {self._lost}")
            return found

    def end(self) -> None:
        """Let :meth:`next` wait no longer on another thread; idempotent."""
        self._end("it was closed")

    def close(self) -> None:
        """Close the connection; idempotent."""
        self.end()
        with suppress(WebSocketException, OSError):
            self._opened.close()

    def _end(self, reason: str) -> None:
        with self._changed:
            if self._lost is None:
                self._lost = reason
            self._changed.notify_all()

    def _subscribed(self, instance: str) -> int:
        """Subscribe, and return the call."""
        subprotocol = self._socket.subprotocol
        try:
            self._socket.send(subscription(subprotocol, instance))
            while not isinstance(said := read(subprotocol, self._socket.recv(REPLY_S)), Reply):
                pass
        except TimeoutError:
            self._unavailable(f"no reply to the subscription within {REPLY_S:g} s")
        except ConnectionClosed as error:
            self._unavailable(_closed(error))
        except InvalidInputError as error:
            self._unavailable(f"a frame cannot be read: {error}")
        if said.call is not None:
            return said.call
        status, kind, text = said.error or (0, "", "")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            self._unavailable(f"it refused the subscription: {status} {kind}: {text}")
        raise ServerRefusedError(self._url, status, kind, f"it refused the subscription: {text}")

    def _unavailable(self, reason: str) -> NoReturn:
        raise ServerUnavailableError(self._url, f"{self._url}: {reason}") from None

    def _take(self) -> None:
        """Take frames until the subscription is over; on a thread of its own."""
        seq = 0
        try:
            while self._lost is None:
                frame = self._socket.recv()
                said = read(self._socket.subprotocol, frame)
                if not isinstance(said, LiveEvent) or said.call != self._call:
                    continue
                if said.seq != seq + 1:
                    self._end(f"events are missing between its numbers {seq} and {said.seq}")
                    return
                seq = said.seq
                self._put(said.message, len(frame) + _FRAME_BYTES)
        except ConnectionClosed as error:
            self._end(_closed(error))
        except InvalidInputError as error:
            self._end(f"a frame cannot be read: {error}")
        except Exception as error:  # whatever it is, the subscription is over, and says why
            self._end(f"{type(error).__name__}: {error}")
        finally:
            # Without a close handshake: nobody may wait for the server here.
            self._socket.close_socket()

    def _put(self, message: bytes | InvalidInputError, size_bytes: int) -> None:
        with self._changed:
            self._waiting.append(message)
            self._bytes += size_bytes
            full = self._bytes > _WAITING_BYTES_MAX
            self._changed.notify_all()
        if full:
            self._end(f"more than {_WAITING_BYTES_MAX >> 20} MiB of events wait to be stored")


def _connected(transport: Transport, opened: ExitStack) -> ClientConnection:
    """Return an open WebSocket, which ``opened`` closes; a refused one is tried again after another login."""
    for may_renew in (True, False):
        try:
            header = transport.authorization.header()
            return opened.enter_context(_opening(transport, header))
        except InvalidStatus as error:
            answer = error.response
            challenge = answer.headers.get("www-authenticate", "")
            try:
                again = may_renew and transport.authorization.refused(header, answer.status_code, challenge)
            except (OSError, HTTPException) as failed:
                raise transport.unavailable(failed) from None
            if not again:
                raise _refused(transport, answer.status_code, answer.reason_phrase, answer.body) from None
        except (OSError, HTTPException) as error:
            raise transport.unavailable(error) from None
        except (InvalidHandshake, WebSocketException) as error:
            text = f"{transport.url}{transport.way.words}: no WebSocket there: {error}"
            raise ServerUnavailableError(transport.url, text) from None
    raise AssertionError("the second time either returns or raises")


@contextmanager
def _opening(transport: Transport, authorization: str | None) -> Iterator[ClientConnection]:
    parts = urlsplit(transport.url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    headers = {} if authorization is None else {"Authorization": authorization}
    options: dict[str, Any] = {"ping_interval": _PING_S, "ping_timeout": _PING_S, "close_timeout": _CLOSE_S}
    if scheme == "wss":
        options["ssl"] = transport.way.ssl_context
    with (
        closing(transport.way.socket()) as socket,
        connect(
            f"{scheme}://{parts.netloc}{parts.path}{PATH}",
            sock=socket,
            subprotocols=SUBPROTOCOLS,  # type: ignore[arg-type]  # texts
            additional_headers=headers,
            compression=None,
            open_timeout=CONNECT_S,
            max_size=_FRAME_BYTES_MAX,
            proxy=None,
            **options,
        ) as connection,
    ):
        yield connection


def _refused(
    transport: Transport, status: int, reason: str, body: bytes | bytearray | None
) -> ServerRefusedError | ServerUnavailableError:
    words = bytes(body or b"")[:200].decode(errors="replace").strip()
    text = f"{transport.url} answered {status} {reason} for {PATH}: {words}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        return ServerUnavailableError(transport.url, text, status)
    said = f"{words or reason} (for {PATH}){advice(status, transport.credentials)}"
    return ServerRefusedError(transport.url, status, reason, said)


def _closed(error: ConnectionClosed) -> str:
    """Return why a connection ended; 1006 is that of one without a close."""
    if error.rcvd is None:
        return "the connection of live events broke"
    return f"it closed the connection of live events: {error.rcvd.code} {error.rcvd.reason}".rstrip()
