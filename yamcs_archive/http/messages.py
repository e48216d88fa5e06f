"""What goes into the HTTP core and what comes out of it: plain values, no sockets, no server.

1. A request is a head, known before any byte of the body, and then the body.
2. An answer is a :class:`Response`, or a :class:`Pending` one: a future and the function from its end to
   the response. Who waits for it, a thread or an event loop, is the adapter's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

JSON, PROTOBUF, MSGPACK = "application/json", "application/protobuf", "application/msgpack"

Headers = tuple[tuple[str, str], ...]


class Work(Enum):
    """What a request asks of whoever runs it, so that an adapter can choose the place."""

    QUICK = auto()
    """Microseconds, and nothing is waited for: an event loop may run it itself."""
    PAGE = auto()
    """Something is read, and little of it."""
    LONG = auto()
    """All of history may be read."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request. Header names are lower case; the path is percent-decoded, as UTF-8."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Response:
    """A whole answer: status, headers and body (bytes, or chunks that are written as they come)."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Iterable[bytes] = b""
    refusal: tuple[str, str] | None = None
    """Kind and reason of a refusal of a request that has no fault; for the log."""

    @property
    def reason(self) -> str:
        """The status as its line has it.

        >>> Response(404).reason
        '404 Not Found'
        """
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    @property
    def length_known(self) -> bool:
        """True if the headers have the length of the body."""
        return any(name == "content-length" for name, _ in self.headers)

    def with_headers(self, headers: Headers) -> Response:
        """Return the response with further headers."""
        return Response(self.status, (*self.headers, *headers), self.body, self.refusal)

    def without_body(self) -> Response:
        """Return the answer to a HEAD: the response without its body.

        >>> Response(200, (("content-length", "1"),), b"a").without_body().body
        b''
        """
        if close := getattr(self.body, "close", None):
            close()
        return replace(self, body=b"")


@dataclass(slots=True)  # making a frozen one takes three times as long, and each request makes some
class Pending:
    """An answer that leaves when ``future`` is done, and not before: ``finish(future)`` makes it.

    Where nobody is left to answer, cancel the future. ``work`` is what ``finish`` asks for.
    """

    future: Future[Any]
    finish: Callable[[Future[Any]], Response]
    poll: bool = False
    """It waits for what others do, perhaps for minutes, and not for the request's own commit."""
    work: Work = Work.PAGE
    is_large: Callable[[Future[Any]], bool] = lambda _: False
    """Says, once the future is done, whether making the answer of its result is no quick work after all."""

    def wait(self) -> Response:
        """Block until the future is done and return the response."""
        self.future.exception()
        return self.finish(self.future)


@dataclass(slots=True)
class Call:
    """A request whose head was accepted: read at most ``body_bytes_max`` bytes of body, then run it.

    ``too_large`` answers for a body that turns out longer than that, ``cut_off`` for one that ends before
    its Content-Length, ``crowded`` where too many bodies are held already. ``work`` is what ``run`` asks for.
    Where ``stream`` is there, the body may have any length: give it the body's chunks as they come, with a
    :class:`CutOffError` where they end too early. ``give_up`` says, on any thread, that nobody waits for an
    answer any longer: what is read for it ends at once, or nearly.
    """

    body_bytes_max: int
    run: Callable[[bytes], Response | Pending]
    too_large: Callable[[], Response]
    cut_off: Callable[[int, int | None], Response]
    crowded: Callable[[], Response]
    work: Work = Work.PAGE
    stream: Callable[[Iterable[bytes]], Response] | None = None
    give_up: Callable[[], None] = lambda: None
