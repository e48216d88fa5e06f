"""The one HTTP client: requests to one server, over connections that are kept; knows no events.

1. Every request goes the same way: through the proxy that the environment names for the URL, or through
   none. An error through a proxy names the proxy.
2. Credentials go to the origin (scheme, host, port) of the URL and to no other: a GET follows redirects
   within it, every other redirect is an error.
3. A request is sent again only if it is repeatable, and a few times at most. A kept connection that the
   server has closed meanwhile is noticed before anything is sent on it.
4. An answer that is cut off is never taken for a whole one. What is read whole is of bounded size.
5. Any thread may send requests, and any thread may end them all.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

from yamcs_archive.client.authorization import FORM, TOKEN_PATH, Authorization, Said
from yamcs_archive.client.tls import tls_reason
from yamcs_archive.client.way import Way
from yamcs_archive.credentials import Credentials, check_url, is_local, origin
from yamcs_archive.errors import InvalidInputError, ServerRefusedError, ServerUnavailableError
from yamcs_archive.wire.framing import gunzipped

JSON, PROTOBUF, MSGPACK = "application/json", "application/protobuf", "application/msgpack"
_READ_S = 60.0
"""Seconds that a server may send nothing."""
_ANSWER_BYTES_MAX = 64 << 20
"""Several times the largest answer of an archive: 4 MiB of text and the commit that exceeds it."""
_READ_BYTES = 64 << 10
_RETRIES = 2
_PAUSE_S, _PAUSE_S_MAX = 0.25, 5.0
"""Seconds to wait before a request is sent again: at first, and at most if the server says how long."""
_IDLE_MAX = 4
_REDIRECTS_MAX = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({502, 503, 504})
"""Statuses that may pass: a proxy does not reach its server, or a server has too much to do."""

T = TypeVar("T")
_Connection = http.client.HTTPConnection
_Response = http.client.HTTPResponse


class Request(NamedTuple):
    """A request to a server."""

    method: str
    path: str
    """What follows the server's URL, with the query string."""
    body: bytes | None = None
    media: str = JSON
    """The media type of the body."""
    accept: str = JSON
    headers: Mapping[str, str] = {}
    wait_s: float = 0
    """How long the server is asked to wait before it answers."""
    repeatable: bool = True
    """Whether it may be sent twice: it changes nothing, or has an idempotency key."""


class Answer(NamedTuple):
    """The head of an answer, and its body if it was read whole."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes = b""

    @property
    def media(self) -> str:
        """The media type of the body, in lower case."""
        return self.headers.get_content_type()


class Transport:
    """Requests to one server.

    A repeatable request is sent up to ``retries`` times again when its connection breaks, or when the server
    answers 502, 503 or 504. A connection that is refused, and a server that sends nothing for ``read_s``
    seconds, are errors at once. Raises InvalidInputError for a URL that no archive can have.

    >>> Transport("http://127.0.0.1:9").ask(Request("GET", "/api"))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.ServerUnavailableError: no answer from http://127.0.0.1:9: ...
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        retries: int = _RETRIES,
        read_s: float = _READ_S,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.url = check_url(url).rstrip("/")
        self.credentials = credentials
        self._parts = urlsplit(self.url)
        self._retries, self._read_s = retries, read_s
        self._wants_gzip = not is_local(self.url)  # within one machine it costs more than it saves
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._ended = False
        self._given = ssl_context
        self.way = Way(self.url, ssl_context)
        self.authorization = Authorization(credentials, self._post_form)

    def ask(self, request: Request) -> Answer:
        """Send a request and return its answer, read whole, of any status but a redirect.

        Raises :class:`~yamcs_archive.errors.ServerUnavailableError` without an answer, and
        :class:`~yamcs_archive.errors.ServerRefusedError` for a redirect that is not followed, and for an
        answer of more than 64 MiB.
        """

        def read(connection: _Connection, response: _Response) -> Answer:
            answer = self._whole(response)
            self._release(connection, response)
            return answer

        return self._repeated(request, read)

    @contextmanager
    def stream(self, request: Request) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """Send a request, and give the head of its answer and the pieces of its body, as they come.

        If the status is not 200 the answer has the body, and there are no pieces. Raises as :meth:`ask` does,
        ServerUnavailableError also for a stream that breaks off. The connection is used until the block ends.
        """
        connection, response = self._repeated(request, lambda *begun: begun)
        try:
            if response.status == http.HTTPStatus.OK:
                yield _head(response), self._told(response)
                return
            try:
                answer = self._whole(response)
            except (OSError, http.client.HTTPException) as error:
                raise self.unavailable(error) from None
            yield answer, iter(())
        finally:
            self._release(connection, response)

    def reopened(self) -> Transport:
        """Return another one like this, with connections of its own."""
        return Transport(
            self.url, self.credentials, retries=self._retries, read_s=self._read_s, ssl_context=self._given
        )

    def end(self) -> None:
        """End the requests of other threads, and refuse all later ones; idempotent."""
        self._ended = True
        for connection in list(self._busy):
            if (sock := connection.sock) is not None:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connections that are kept; the next request makes a new one."""
        while self._idle:
            self._idle.pop().close()

    def unavailable(self, error: Exception) -> ServerUnavailableError:
        """Return the library's error for one of the network."""
        text = f"no answer from {self.url}{self.way.words}: {self._reason(error)}"
        return ServerUnavailableError(self.url, text)

    def strange(self, reason: str) -> ServerRefusedError:
        """Return the error for an answer that no archive sends."""
        text = f"it does not answer as an archive: {reason}; is it an archive of this project?"
        return ServerRefusedError(self.url, http.HTTPStatus.OK.value, "StrangeAnswer", text)

    def _repeated(self, request: Request, read: Callable[[_Connection, _Response], T]) -> T:
        """Send a request, again if that is safe and may help; return what ``read`` makes of the answer."""
        pause_s = _PAUSE_S
        for left in range(self._retries if request.repeatable else 0, -1, -1):
            connection = None
            try:
                connection, response = self._begin(request)
                if not left or response.status not in _PASSING:
                    return read(connection, response)
                self._release(connection, response)
                pause_s = _seconds(response.headers.get("retry-after"), pause_s)
            except (OSError, http.client.HTTPException) as error:
                self._drop(connection)
                broke = isinstance(error, (ConnectionResetError, BrokenPipeError, http.client.IncompleteRead))
                if not left or not broke or self._ended:
                    raise self.unavailable(error) from None
            except BaseException:
                self._drop(connection)
                raise
            time.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the last time either returns or raises")

    def _begin(self, request: Request) -> tuple[_Connection, _Response]:
        """Send a request and return its connection and the head of its answer, after redirects."""
        path = self._parts.path + request.path
        for _ in range(_REDIRECTS_MAX):
            connection, response = self._exchange(request, path)
            if response.status not in _REDIRECTS:
                return connection, response
            self._drop(connection)
            here = f"{self._parts.scheme}://{self._parts.netloc}{path}"
            try:
                there = urljoin(here, response.headers.get("location", ""))
            except ValueError:
                there = ""
            if request.method != "GET" or origin(there) != origin(self.url):
                raise self._redirected(response, there)
            parts = urlsplit(there)
            path = parts.path + ("?" + parts.query if parts.query else "")
        raise self._redirected(response, there)

    def _exchange(self, request: Request, path: str) -> tuple[_Connection, _Response]:
        """Send a request once, or again after a login, which a server may ask for by refusing it."""
        for may_renew in (True, False):
            header = self.authorization.header()
            connection, response = self._sent(request, path, header)
            challenge = response.headers.get("www-authenticate", "")
            try:
                again = may_renew and self.authorization.refused(header, response.status, challenge)
            except BaseException:
                self._drop(connection)
                raise
            if not again:
                break
            self._drop(connection)
        return connection, response

    def _post_form(self, form: bytes) -> Said:
        """Post a form to the path of tokens, without credentials."""
        request = Request("POST", TOKEN_PATH, form, FORM, repeatable=False)
        connection, response = self._sent(request, self._parts.path + TOKEN_PATH, None)
        try:
            answer = self._whole(response)
        finally:
            self._drop(connection)
        return Said(answer.status, answer.body)

    def _sent(self, request: Request, path: str, authorization: str | None) -> tuple[_Connection, _Response]:
        connection, kept = self._connection()
        self._busy.add(connection)
        try:
            if self._ended:  # read when the connection is in _busy: end() sets it first, and then looks there
                raise ConnectionAbortedError("it was ended")
            connection.sock.settimeout(self._read_s + request.wait_s)
            connection.request(request.method, *self._head(request, path, authorization))
            return connection, connection.getresponse()
        except BaseException as error:
            self._drop(connection)
            # A kept connection may end at any time, between the look at it and the request too.
            if kept and request.repeatable and isinstance(error, ConnectionError) and not self._ended:
                self.close()
                return self._sent(request, path, authorization)
            raise

    def _head(
        self, request: Request, path: str, authorization: str | None
    ) -> tuple[str, bytes | None, dict[str, str]]:
        headers = {"accept": request.accept, "accept-encoding": "gzip" if self._wants_gzip else "identity"}
        if request.body is not None:
            headers["content-type"] = request.media
        if authorization is not None:
            headers["authorization"] = authorization
        if self._parts.scheme == "http" and self.way.proxy is not None:
            path = f"http://{self._parts.netloc}{path}"
            headers |= self.way.proxy_headers
        return path, request.body, headers | dict(request.headers)

    def _connection(self) -> tuple[_Connection, bool]:
        """Return a connection, and whether it was kept from an earlier request."""
        with suppress(IndexError):
            while True:
                kept = self._idle.pop()
                if not _is_stale(kept):
                    return kept, True
                kept.close()
        return self.way.connected(), False

    def _whole(self, response: _Response) -> Answer:
        if response.status == http.HTTPStatus.OK and response.length is None and not response.chunked:
            # Its head was cut off, or its server speaks HTTP/1.0: it cannot be known to be whole.
            raise http.client.IncompleteRead(b"")
        body = bytearray()
        for piece in self._pieces(response):
            body += piece
            if len(body) > _ANSWER_BYTES_MAX:
                raise self.strange(f"it is longer than {_ANSWER_BYTES_MAX} bytes")
        return _head(response)._replace(body=bytes(body))

    def _pieces(self, response: _Response) -> Iterator[bytes]:
        pieces = _raw(response)
        if response.headers.get("content-encoding", "").strip().lower() not in ("gzip", "x-gzip"):
            yield from pieces
            return
        try:
            yield from gunzipped(pieces)
        except InvalidInputError as error:
            raise self.strange(str(error)) from None

    def _told(self, response: _Response) -> Iterator[bytes]:
        """Yield the pieces of a stream; if it breaks off, raise the error of the library."""
        try:
            yield from self._pieces(response)
        except (OSError, http.client.HTTPException) as error:
            raise self.unavailable(error) from None

    def _release(self, connection: _Connection, response: _Response) -> None:
        """Keep a connection whose answer was read to its end; close any other."""
        whole = response.isclosed() and not response.will_close
        if whole and len(self._idle) < _IDLE_MAX and not self._ended:
            self._busy.discard(connection)
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: _Connection | None) -> None:
        if connection is not None:
            self._busy.discard(connection)
            connection.close()

    def _redirected(self, response: _Response, there: str) -> ServerRefusedError:
        parts = urlsplit(there)
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if origin(there) == origin(self.url):
            place += parts.path  # of another origin it may be a secret
        text = f"it redirects to {place if there else 'no URL'}; requests go to no other place"
        said = f"{text}: give the URL of the archive there"
        return ServerRefusedError(self.url, response.status, response.reason, said)

    def _reason(self, error: Exception) -> str:
        """Return what went wrong, and what to do about it if that is known."""
        if isinstance(error, TimeoutError):
            return f"nothing came for {self._read_s:g} s; look whether the server is overloaded, or try again"
        if isinstance(error, ssl.SSLError):
            return tls_reason(error)
        if isinstance(error, http.client.IncompleteRead):
            return "its answer broke off; try again"
        if isinstance(error, (ConnectionResetError, BrokenPipeError)):
            return "it closed the connection without an answer; try again"
        if isinstance(error, http.client.HTTPException):
            return f"it does not speak HTTP as expected ({error!r}); look whether the URL is right"
        return str(error) or repr(error)


def _head(response: _Response) -> Answer:
    return Answer(response.status, response.reason, response.headers)


def _raw(response: _Response) -> Iterator[bytes]:
    """Yield the pieces of a body as they come; IncompleteRead if it is cut off."""
    while piece := response.read1(_READ_BYTES):
        yield piece
    if response.length:  # read1() does not say that less came than was announced
        raise http.client.IncompleteRead(b"", response.length)
    response.close()


def _is_stale(connection: _Connection) -> bool:
    """Return whether the server has closed a connection, or sent bytes that nobody asked for."""
    if connection.sock is None:
        return True
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(0))


def _seconds(retry_after: str | None, otherwise: float) -> float:
    """Return the pause that a server asks for, within bounds; a date is not looked at.

    >>> _seconds("1", 0.25), _seconds("3600", 0.25), _seconds(None, 0.25)
    (1.0, 5.0, 0.25)
    """
    given = (retry_after or "").strip()
    return min(float(given), _PAUSE_S_MAX) if given.isascii() and given.isdigit() else otherwise
