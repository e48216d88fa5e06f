"""Requests and answers as plain values: no sockets, no server.

1. A request is a head, known before any byte of the body, and then the body.
2. An answer is a :class:`Response`, or a :class:`Pending` one: a future, and the function that makes the
   response once the future is done. The adapter decides whether a thread or an event loop waits for it.
3. A handler raises the error to answer with. If it knows the form of the events in that answer, it raises
   a :class:`RequestFailedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from yamcs_archive.wire.api_generations import Form

Headers = tuple[tuple[str, str], ...]
SCOPE_USER = "yamcs_archive.user"
"""The key of an ASGI scope for the name of the user who sent the request, for the access log."""


def note_user(request: MutableMapping[str, Any], user: str) -> None:
    """Leave the name of the user who sent a request in its ASGI scope, or WSGI environ, for the access log.

    >>> scope = {"type": "http"}
    >>> note_user(scope, "ada")
    >>> scope
    {'type': 'http', 'yamcs_archive.user': 'ada'}
    """
    request.get("yamcs_archive.scope", request)[SCOPE_USER] = user


class Work(Enum):
    """How much work an answer is, so that an adapter can choose where to do it."""

    QUICK = auto()
    """Microseconds, without waiting for anything: an event loop may do it itself."""
    PAGE = auto()
    """Little is read."""
    LONG = auto()
    """All of history may be read or written."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request. Header names are lower case; the path is percent-decoded, as UTF-8."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    """The address at the other end of the connection: of the client, or of a proxy; "" if it is not known."""
    scheme: str = "http"
    server: str = ""
    """The address of this end of the connection; "" if it is not known."""


@dataclass(slots=True)
class Response:
    """A whole answer: status, headers and body (bytes, or chunks that are written as they come)."""

    status: int
    headers: Headers = ()
    body: bytes | Iterable[bytes] = b""
    refusal: tuple[str, str] | None = None
    """Kind and reason, for the log: set if the request is refused through no fault of the client."""
    user: str = ""
    """Who sent the request; "" if that is not known."""

    @property
    def reason(self) -> str:
        """The status and its phrase, as in a status line.

        >>> Response(404).reason
        '404 Not Found'
        """
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    @property
    def length_known(self) -> bool:
        """True if the headers have the length of the body."""
        return any(name == "content-length" for name, _ in self.headers)


def reply(media: str, body: bytes, status: int = 200, headers: Headers = ()) -> Response:
    """Return a response with a body of that media type.

    >>> reply("text/plain", b"a").headers
    (('content-type', 'text/plain'), ('content-length', '1'))
    """
    return Response(status, (("content-type", media), ("content-length", str(len(body))), *headers), body)


class RequestFailedError(Exception):
    """A request that failed with ``error``; events in the answer are written in ``form``."""

    def __init__(self, error: BaseException, form: Form) -> None:
        super().__init__(error, form)
        self.error, self.form = error, form


_Answer = TypeVar("_Answer", bound=Response)


@dataclass(slots=True)  # making a frozen one takes three times as long, and each request makes some
class Pending(Generic[_Answer]):
    """An answer that ``finish(future)`` makes once ``future`` is done, and not before.

    Cancel the future if nobody waits for the answer any longer. ``work`` is how much work ``finish`` is.
    """

    future: Future[Any]
    finish: Callable[[Future[Any]], _Answer]
    poll: bool = False
    """The future waits until others store something, perhaps for minutes."""
    work: Work = Work.PAGE
    is_large: Callable[[Future[Any]], bool] = lambda _: False
    """Once the future is done: returns whether ``finish`` is too much work for an event loop after all."""

    def wait(self) -> _Answer:
        """Block until the future is done and return the answer."""
        with suppress(CancelledError):  # a poll, when serving ends
            self.future.exception()
        return self.finish(self.future)
