"""One request, from its head to its answer: the steps that all requests and all answers share; no I/O.

1. The adapter calls :meth:`Exchange.run` with the body, or :meth:`Exchange.refuse` if it cannot get the body.
   It calls :meth:`Exchange.abandon` once nobody waits for the answer.
2. No exception leaves ``run`` and ``refuse``: each becomes an answer in the media type of the request, and
   events in it are in the request's form.
3. Every answer leaves through ``finish``: there it is compressed, held in the budget of answers until it is
   written, and gets the headers that all answers have.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from yamcs_archive.access.callers import Caller
from yamcs_archive.errors import ArchiveError, ReadOnlyError, shown
from yamcs_archive.http.admission import Lease, Slots
from yamcs_archive.http.errors import (
    MISSING_AUTHENTICATION,
    BodyTooLargeError,
    HttpError,
    UnauthorizedError,
    error_reply,
    forbidden,
    unauthorized,
)
from yamcs_archive.http.media_types import answer_codec, content_encoding, media_type
from yamcs_archive.http.query import refuse_form
from yamcs_archive.http.request import Request, Services
from yamcs_archive.http.request_and_response import Head, Pending, RequestFailedError, Response, Work
from yamcs_archive.http.routes import Route, allowed_methods, route_of, template_of
from yamcs_archive.http.streaming import Chunks, compressed
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire.api_generations import Form

_log = logging.getLogger(__name__)

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_CHALLENGE = 'Basic realm="yamcs_archive", charset="UTF-8"'
_NAVIGATES = "navigate"
"""What a browser says of a request that it makes because its user opens a URL."""
_LENGTH_DIGITS_MAX = 19
"""Digits of a Content-Length: those of an int64. Python refuses to read thousands of them."""
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


class Exchange:
    """One request and its answer.

    After :meth:`accept`, read at most ``body_bytes_max`` bytes of body and give them to :meth:`run`. If
    ``streams`` is True the body may have any length: give an iterable of its chunks as they come, which
    raises a :class:`CutOffError` if they end too early.
    """

    __slots__ = (
        *("body_bytes_max", "caller", "codec", "content_length", "head", "streams", "work"),
        *(
            "_abandoned",
            "_headers",
            "_version",
            "_lease",
            "_make_pending",
            "_names",
            "_route",
            "_services",
            "_slots",
        ),
    )

    body_bytes_max: int

    def __init__(self, services: Services, head: Head) -> None:
        self.head = head
        self.caller = services.guest
        self.codec = answer_codec(head.headers, posted=head.method not in _WITHOUT_BODY)
        self.body_bytes_max = BODY_BYTES_MAX
        self.content_length: int | None = None
        self.streams = False
        self.work = Work.PAGE
        """How much work ``run`` is."""
        self._services = services
        self._headers = services.origins.headers(head)
        self._route: Route
        self._names: Mapping[str, str]
        self._lease = Lease(services.admission.answers)
        self._slots: Slots | None = None  # those in which it has a slot
        self._make_pending: Callable[[Future[Any]], Response]
        self._abandoned = False

    def find_route(self) -> Route:
        """Return the route. Raises an ArchiveError if there is none, or for a page of another origin."""
        self._route, self._names = route_of(self.head)
        if self._route.codec is not None:
            self.codec = self._route.codec(media_type(self.head.headers))
        if (refusal := self._services.origins.refusal(self.head)) is not None:
            raise forbidden(refusal)
        return self._route

    def accept(self, caller: Caller | None) -> None:
        """Take the request of a caller, None if it is not known who sends it; after :meth:`find_route`.

        Raises an ArchiveError for everything that the head alone shows to be wrong.
        """
        head = self.head
        if caller is not None:
            self.caller = caller
        self._check_permission(caller)
        authentication = self._services.authentication
        self._version = 0 if authentication is None else authentication.version()
        self.body_bytes_max = self._route.body_bytes_max
        self.content_length = _content_length(head.headers)
        self.streams = self._route.streams
        # The answer to a HEAD has no body, so little is read for it, and it takes no slot of a stream.
        is_short = head.method == "HEAD" and self._route.work is Work.LONG
        self.work = Work.PAGE if is_short else self._route.work
        if self.streams:
            return
        if self.content_length is not None and self.content_length > self.body_bytes_max:
            raise BodyTooLargeError(self.body_bytes_max)
        if (encoding := content_encoding(head.headers)) != "identity":
            raise HttpError(
                415,
                "UnsupportedMediaTypeException",
                f"content-encoding {shown(encoding)}: the body of this request must come uncompressed;"
                " events:batch takes gzip",
                (("accept-encoding", "identity"),),
            )

    def _check_permission(self, caller: Caller | None) -> None:
        """Raise HttpError unless a caller may use the route."""
        route = self._route
        if route.is_open:
            return
        if caller is None:
            raise unauthorized(MISSING_AUTHENTICATION)
        if route.permission is None or caller.allows(route.permission, self._names.get("instance")):
            return
        if caller.is_guest:
            raise forbidden(
                f"{shown(self.head.path)}: operations are off on this server; start it with --users, or with"
                " --allow-operations (embedded: operations=True)"
            )
        raise forbidden(f"Missing system privilege '{route.permission}'")  # the text of a Yamcs server

    def run(self, body: bytes | Iterable[bytes] = b"") -> Response | Pending[Response]:
        """Return the answer, or a pending one if it must wait for a future."""
        answer = self._answer(self._handle, body)
        return self.finish(answer) if isinstance(answer, Response) else answer

    def _answer(self, make: Callable[[_Given], _Made], given: _Given) -> _Made | Response:
        """Return what ``make(given)`` returns; if it raises an error, the answer to that error."""
        try:
            return make(given)
        except RequestFailedError as failed:
            return self._failed(failed.error, failed.form)
        except ArchiveError as error:
            return self._failed(error)
        except Exception as error:
            _log.exception("%s %s", self.head.method, self.head.path)
            return self._failed(error)
        except BaseException:
            self._release()
            raise

    def _handle(self, body: bytes | Iterable[bytes]) -> Response | Pending[Response]:
        """Have the handler answer. Raises UnavailableError if too many requests of this kind are open."""
        admission = self._services.admission
        slots = admission.batches if self.streams else admission.streams if self.work is Work.LONG else None
        if slots is not None:
            slots.enter()
            self._slots = slots
        if self._names and not self._route.forms:
            refuse_form(self.head.query)
        answer = self._route.handler(
            Request(
                self._services,
                self.head,
                self._names,
                body if isinstance(body, bytes) else b"",
                [body] if isinstance(body, bytes) else body,
                self.codec,
                self.caller,
                self._lease,
                self.is_abandoned,
                self._check_still_permitted,
            )
        )
        if isinstance(answer, Response):
            return answer
        if answer.poll:
            admission.polls.admit(answer.future)
        self._make_pending, answer.finish = answer.finish, self._complete
        return answer

    def _complete(self, future: Future[Any]) -> Response:
        """Make a pending answer, whose future is done."""
        return self.finish(self._answer(self._make_if_still_permitted, future))

    def _make_if_still_permitted(self, future: Future[Any]) -> Response:
        if self.work is not Work.QUICK:  # an event is stored by now, and its answer says so
            self._check_still_permitted()
        return self._make_pending(future)

    def _check_still_permitted(self) -> None:
        """Raise HttpError if the caller may not use the route any longer: it took a while to get here."""
        authentication = self._services.authentication
        if authentication is None or self._route.is_open:
            return
        version = authentication.version()
        if version == self._version:
            return
        caller = authentication.still(self.caller, self.head)
        if caller is self.caller:
            return
        self._check_permission(caller)
        instance, permission = self._names.get("instance"), self._route.permission
        if caller is None or instance is None or permission is None:
            return
        if caller.sources(permission, instance) != self.caller.sources(permission, instance):
            raise forbidden("the permission was changed meanwhile: send it again")

    def _while_permitted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks of a stream as long as the caller may read it."""
        try:
            for chunk in chunks:
                self._check_still_permitted()
                yield chunk
        finally:
            if close := getattr(chunks, "close", None):
                close()

    def _failed(self, error: BaseException, form: Form = Form.TODAY) -> Response:
        """Return the answer to an error; events in its detail are in that form."""
        response = error_reply(error, self.codec, form)
        if (
            isinstance(error, UnauthorizedError)
            and self.head.headers.get("sec-fetch-mode", _NAVIGATES) == _NAVIGATES
        ):
            # Not to a page's own request: the browser would open a dialog of its own over the page's.
            response.headers += (("www-authenticate", _CHALLENGE),)
        if isinstance(error, ReadOnlyError):  # every 405 must name the methods that work
            response.headers += (("allow", allowed_methods(self.head.path, but=self._route)),)
        return response

    def refuse(self, error: ArchiveError) -> Response:
        """Return the answer to a request that fails before it is run: by its head, or as its body comes."""
        return self.finish(self._failed(error))

    def upgraded(self) -> None:
        """Note that the answer is a WebSocket."""
        self._services.observation.requests.note(template_of(self.head.path), 101)  # Switching Protocols

    def abandon(self) -> None:
        """Note, on any thread, that nobody waits for the answer, so that reading for it ends soon."""
        self._abandoned = True

    def is_abandoned(self) -> bool:
        """Return whether nobody waits for the answer any longer."""
        return self._abandoned

    def finish(self, response: Response) -> Response:
        """Return an answer in the form in which it is sent (rule 3)."""
        try:
            if self._services.authentication is not None and not isinstance(response.body, bytes):
                response = replace(response, body=self._while_permitted(response.body))
            response = compressed(response, self.head.headers)
            if self.head.method == "HEAD":
                response = replace(response, body=b"")
            response = self._lease.count(response)
        except BaseException:
            self._release()
            raise
        slots = self._slots
        if slots is not None:
            if self.streams or isinstance(response.body, bytes):
                slots.leave()
            else:  # the client may read as slowly as it pleases
                response = replace(response, body=Chunks(iter(response.body), slots.leave))
        if response.refusal is not None:
            self._services.refusals.note(*response.refusal)
        response.headers += self._headers
        response.user = self.user
        self._services.observation.requests.note(template_of(self.head.path), response.status)
        return response

    @property
    def user(self) -> str:
        """The name of the user who sends the request; "" if that is not known."""
        return "" if self.caller.is_guest else self.caller.name

    def _release(self) -> None:
        """Give back what the exchange holds."""
        self._lease.release()
        if self._slots is not None:
            self._slots.leave()


def _content_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LENGTH_DIGITS_MAX):
        raise HttpError(400, "BadRequestException", f"content-length {text!r}: must be a number of bytes")
    return int(text)
