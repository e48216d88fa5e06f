"""The HTTP core: from the head of a request to its call, from its body to the answer. No I/O.

1. Everything that can be refused is refused by the head alone: route, method, size. No byte of the body
   is read for a request that cannot succeed.
2. No exception leaves: each becomes an answer in the form and media type that the request asked for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, ReadOnlyError, shown
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.errors import CutOffError, HttpError, error_reply
from yamcs_archive.http.hosts import Hosts
from yamcs_archive.http.media_types import content_encoding, reply_type
from yamcs_archive.http.messages import Call, Head, Headers, Pending, Response, Work
from yamcs_archive.http.polls import Polls
from yamcs_archive.http.query import refuse_form
from yamcs_archive.http.refusal_log import Refusals
from yamcs_archive.http.request import Request, Route
from yamcs_archive.http.routes import PATHS, WEBSOCKET, find
from yamcs_archive.http.streaming import Chunks, compressed
from yamcs_archive.http.weighing import Hold, Room
from yamcs_archive.limits import BATCHES_MAX, BODIES_BYTES_MAX, BODY_BYTES_MAX, POLLS_MAX, STREAMS_MAX

_log = logging.getLogger(__name__)

_LENGTH_DIGITS_MAX = 19
"""Digits of a Content-Length: those of an int64. Python refuses to read thousands of them."""


_Finish = Callable[[Response], Response]
"""What is done with every answer to a request."""


class _Flag:
    """Says one thing once, from any thread to any other. Nobody can wait for it, so it costs nothing."""

    __slots__ = ("_raised",)

    def __init__(self) -> None:
        self._raised = False

    def raise_it(self) -> None:
        self._raised = True

    def is_raised(self) -> bool:
        return self._raised


class Core:
    """Answers requests from an open archive. Safe to use from many threads.

    ``polls_max`` is how many answers may wait for something to be stored; where each holds a thread, fewer
    than there are threads. ``cors_origins`` are the origins whose pages may talk to it, ``allowed_hosts`` the
    names that it has beside those of this machine; InvalidInputError for a bad one. ``live``: the adapter
    carries WebSockets.
    """

    def __init__(
        self,
        archive: Archive,
        polls_max: int = POLLS_MAX,
        *,
        cors_origins: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
        live: bool = False,
    ) -> None:
        self._archive, self._live = archive, live
        listed = tuple(cors_origins)
        self._origins = Origins(listed)
        self._hosts = Hosts(allowed_hosts, origins=listed)
        self._refusals = Refusals()
        self._polls = Polls(polls_max)
        self._room = Room()
        self._batches = threading.BoundedSemaphore(BATCHES_MAX)
        self._streams = threading.BoundedSemaphore(STREAMS_MAX)

    def begin(self, head: Head) -> Response | Call:
        """Look at the head of a request: answer it at once, or say how to go on with its body.

        >>> archive = Archive.open(directory)
        >>> Core(archive).begin(Head("GET", "/nosuch")).status
        404
        >>> Core(archive).begin(Head("GET", "/healthz")).run(b"").status
        200
        """
        try:
            self._check_host(head)
        except HttpError as error:
            return self.refused(head, error)
        finish = partial(self._finished, head, self._origins.headers(head))
        preflight = self._preflight(head)
        return self._begin(head, finish) if preflight is None else finish(preflight)

    def _finished(self, head: Head, headers: Headers, response: Response) -> Response:
        """Return an answer as it is sent, errors included."""
        if response.refusal is not None:
            self._refusals.note(*response.refusal)
        if head.method == "HEAD":
            response = response.without_body()
        return response.with_headers(headers)

    def _check_host(self, head: Head) -> None:
        if (text := self._hosts.refusal(head.headers)) is not None:
            raise _forbidden(text)

    def refusal(self, head: Head) -> Response | None:
        """Return why a WebSocket with that head is not opened, None where it is.

        >>> Core(Archive.open(directory), live=True).refusal(Head("GET", "/api/websocket")) is None
        True
        """
        try:
            self._check_host(head)
            route, _ = _routed(head)
            if route is not PATHS[WEBSOCKET][0]:
                raise HttpError(404, "NotFoundException", f"no WebSocket is served at {shown(head.path)}")
            if (origin := self._origins.foreign(head.headers)) is not None:
                raise _forbidden(f"origin {shown(origin)}: allow it with --cors-origin")
        except ArchiveError as error:
            return self.refused(head, error)
        return None

    def refused(self, head: Head, error: ArchiveError) -> Response:
        """Return the answer to a request or handshake that fails with an error."""
        return self._finished(head, self._origins.headers(head), error_reply(error, _reply_type(head)))

    def _preflight(self, head: Head) -> Response | None:
        if head.method != "OPTIONS":
            return None
        return self._origins.preflight(head, _methods(find(head.path)[0]))

    def _begin(self, head: Head, finish: _Finish) -> Response | Call:
        media = _reply_type(head)
        try:
            route, names = _routed(head)
            if (refusal := self._origins.refusal(head)) is not None:
                raise _forbidden(refusal)
            length = _content_length(head.headers)
            if route.streams:
                return self._streaming(route, head, names, media, finish)
            if length is not None and length > BODY_BYTES_MAX:
                raise _too_large()
            if (encoding := content_encoding(head.headers)) != "identity":
                raise HttpError(
                    415,
                    "UnsupportedMediaTypeException",
                    f"content-encoding {shown(encoding)}: the body of this request must come uncompressed;"
                    " events:batch takes gzip",
                    (("accept-encoding", "identity"),),
                )
        except ArchiveError as error:
            return finish(error_reply(error, media))

        given_up = _Flag()
        unbounded = route.unbounded and head.method != "HEAD"  # a HEAD reads nothing

        def run(body: bytes) -> Response | Pending:
            hold = Hold(self._room)
            request = Request(
                self._archive,
                head,
                names,
                body,
                media,
                hold,
                live=self._live,
                given_up=given_up.is_raised,
                refusals=self._refusals,
            )
            if unbounded:
                return finish(self._unbounded(route, request))
            with hold:
                answer = _run(route, request)
                if isinstance(answer, Response):
                    return finish(hold.kept(compressed(answer, head.headers)))
            made = answer.finish

            def finished(done: Future[Any]) -> Response:
                with hold:
                    return finish(hold.kept(compressed(made(done), head.headers)))

            answer = Pending(answer.future, finished, answer.poll, answer.work, answer.is_large)
            if answer.poll:
                try:
                    return self._polls.admit(answer)
                except ArchiveError as error:
                    return finish(error_reply(error, media))
            return answer

        return Call(
            BODY_BYTES_MAX,
            run,
            too_large=lambda: finish(error_reply(_too_large(), media)),
            cut_off=lambda got, said: finish(error_reply(CutOffError(got, said), media)),
            crowded=lambda: finish(error_reply(_crowded(), media)),
            work=Work.LONG if unbounded else route.work,
            give_up=given_up.raise_it,
        )

    def end_polls(self) -> None:
        """Let every answer that waits for something to be stored leave now: serving ends."""
        self._refusals.end()
        self._polls.end()

    def _streaming(
        self, route: Route, head: Head, names: Mapping[str, str], media: str, finish: _Finish
    ) -> Call:
        """Return the call of a route whose body is read as it comes.

        A client that sends slowly holds a thread meanwhile, so only so many may: the others are left for
        single events and for reading.
        """

        def stream(chunks: Iterable[bytes]) -> Response:
            if not self._batches.acquire(blocking=False):
                return finish(error_reply(_too_many(BATCHES_MAX, "batches"), media))
            hold = Hold(self._room)
            try:
                answer = _run(
                    route,
                    Request(self._archive, head, names, b"", media, hold, chunks, refusals=self._refusals),
                )
                response = answer if isinstance(answer, Response) else answer.wait()
                with hold:
                    return finish(hold.kept(compressed(response, head.headers)))
            finally:
                self._batches.release()

        return Call(
            BODY_BYTES_MAX,
            lambda body: stream([body] if body else []),
            too_large=lambda: finish(error_reply(_too_large(), media)),
            cut_off=lambda got, said: finish(error_reply(CutOffError(got, said), media)),
            crowded=lambda: finish(error_reply(_crowded(), media)),
            work=Work.LONG,
            stream=stream,
        )

    def _unbounded(self, route: Route, request: Request) -> Response:
        """Return an answer of any length, one of so many: its client may read as slowly as it pleases."""
        if not self._streams.acquire(blocking=False):
            return error_reply(_too_many(STREAMS_MAX, "streams"), request.media)
        answer = _run(route, request)
        response = answer if isinstance(answer, Response) else answer.wait()
        if isinstance(response.body, bytes):
            self._streams.release()
            return compressed(response, request.head.headers)
        whole = compressed(response, request.head.headers)
        return replace(whole, body=Chunks(iter(whole.body), self._streams.release))  # type: ignore[arg-type]


def _run(route: Route, request: Request) -> Response | Pending:
    try:
        if request.names and not route.forms:
            refuse_form(request.head.query)
        return route.handler(request)
    except ReadOnlyError as error:
        answer = error_reply(error, request.media, request.form)
        others = tuple(other for other in find(request.head.path)[0] if other is not route)
        # Every 405 must say what works.
        return replace(answer, headers=(*answer.headers, ("allow", _methods(others))))
    except ArchiveError as error:
        return error_reply(error, request.media, request.form)
    except Exception as error:
        _log.exception("%s %s", request.head.method, request.head.path)
        return error_reply(error, request.media)


def _reply_type(head: Head) -> str:
    return reply_type(head.headers, posted=head.method not in _WITHOUT_BODY)


_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


def _routed(head: Head) -> tuple[Route, Mapping[str, str]]:
    """Return the route of a head, and the names in its path; a HEAD has that of the GET."""
    routes, names = find(head.path)
    if not routes:
        text = f"no such path: {shown(head.path)} (see /api/openapi.json)"
        raise HttpError(404, "NotFoundException", text)
    method = "GET" if head.method == "HEAD" else head.method
    for route in routes:
        if route.method == method:
            return route, names
    allowed = _methods(routes)
    text = f"{shown(head.method)} {shown(head.path)}: use {allowed}"
    raise HttpError(405, "MethodNotAllowedException", text, (("allow", allowed),))


def _methods(routes: tuple[Route, ...]) -> str:
    """Return the methods of routes, as headers list them; HEAD wherever GET is."""
    methods = {route.method for route in routes}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _content_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LENGTH_DIGITS_MAX):
        raise HttpError(400, "BadRequestException", f"content-length {text!r}: must be a number of bytes")
    return int(text)


def _forbidden(text: str) -> HttpError:
    return HttpError(403, "ForbiddenException", text)


def _too_many(most: int, what: str) -> HttpError:
    return HttpError(
        503,
        "ServiceUnavailableException",
        f"{most} {what} are under way, the limit: send it again later",
    )


def _crowded() -> HttpError:
    return _too_many(BODIES_BYTES_MAX, "bytes of bodies")


def _too_large() -> HttpError:
    return HttpError(
        413,
        "PayloadTooLargeException",
        f"the body is larger than {BODY_BYTES_MAX} bytes, the limit for the body of this request;"
        " events:batch takes any number of events",
    )
