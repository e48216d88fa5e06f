"""The routes that store events: one, or a stream of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from msgspec.structs import replace

from yamcs_archive.access.permissions import Permission
from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, ConflictError, InvalidInputError, OutcomeUnknownError, shown
from yamcs_archive.event import SOURCE_DEFAULT, Event, event_bytes
from yamcs_archive.http.errors import HttpError, counts_message, forbidden
from yamcs_archive.http.limits import QUICK_BODY_BYTES_MAX
from yamcs_archive.http.media_types import batch_reader, body_codec, content_encoding
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Pending, RequestFailedError, Response, Work, reply
from yamcs_archive.limits import REQUEST_ID_BYTES_MAX
from yamcs_archive.results import AppendCounts, Appended
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.framing import gunzipped

_REPLAYED = (("idempotent-replayed", "true"),)
"""Marks the answer to a retry, whose body is the same as that of the first answer."""


def create_event(request: Request) -> Pending[Response]:
    """Store one event; the answer leaves when it is durable."""
    instance = request.instance()
    keeps_user = _keeps_user(request)
    form, event = body_codec(request.head.headers).decode_event(request.body, keeps_user=keeps_user)
    request.check_still_permitted()
    event = _signed(request, event)
    codec, lease = request.codec, request.lease

    def finish(done: Future[Appended]) -> Response:
        lease.reserve(_text_bytes(done))
        error = done.exception()
        if error is not None:
            raise RequestFailedError(error, form)
        appended = done.result()
        headers = _REPLAYED if appended.duplicate else ()
        return reply(codec.media, codec.event(appended.event, form), headers=headers)

    try:
        submitted = instance.submit(event, request_id=_request_id(request))
    except ArchiveError as error:
        raise RequestFailedError(error, form) from error
    return Pending(submitted, finish, work=Work.QUICK, is_large=_is_large)


def _keeps_user(request: Request) -> bool:
    """Return whether the sender may say who created an event: an import does, so that nothing is lost.

    Guests may not, whatever else they may do: nobody knows who they are.
    """
    caller = request.caller
    return not caller.is_guest and caller.allows(Permission.MANAGE_ARCHIVE, request.names["instance"])


def _signed(request: Request, event: Event) -> Event:
    """Return an event with the user who creates it. Raises HttpError for a source that it may not write."""
    if request.caller.is_guest:
        return event
    writable = request.caller.sources(Permission.WRITE_EVENTS, request.names["instance"])
    if writable is not None and not writable(event.source or SOURCE_DEFAULT):
        raise _refused_source(event.source or SOURCE_DEFAULT)
    return event if event.created_by is not None else replace(event, created_by=request.caller.name)


def all_signed(request: Request, events: Columns[int | None]) -> Columns[int | None]:
    """Return events with the user who creates them, as :func:`_signed` does."""
    if request.caller.is_guest:
        return events
    writable = request.caller.sources(Permission.WRITE_EVENTS, request.names["instance"])
    if writable is not None:
        for name in set(events.source):
            if not writable(name or SOURCE_DEFAULT):
                raise _refused_source(name or SOURCE_DEFAULT)
    user = request.caller.name
    if events.created_by.count(None) == events.size:
        return events._replace(created_by=[user] * events.size)
    return events._replace(created_by=[user if given is None else given for given in events.created_by])


def _refused_source(name: str) -> HttpError:
    return forbidden(f"Missing system privilege '{Permission.WRITE_EVENTS}' for source {shown(name)}")


def _is_large(done: Future[Appended]) -> bool:
    """Return whether the answer has more text than an event loop should write."""
    return _text_bytes(done) > QUICK_BODY_BYTES_MAX


def _text_bytes(done: Future[Appended]) -> int:
    """Return the bytes of text in the answer: many if a small event conflicts with a large one."""
    error = done.exception()
    if error is None:
        return event_bytes(done.result().event)
    if isinstance(error, ConflictError):
        return event_bytes(error.stored) + event_bytes(error.offered)
    return sum(map(event_bytes, error.events[:1])) if isinstance(error, OutcomeUnknownError) else 0


def _request_id(request: Request) -> str | None:
    """Return the header Idempotency-Key, with or without quotes around it; None if there is none."""
    text = request.head.headers.get("idempotency-key")
    if text is None:
        return None
    bare = text.strip()
    if len(bare) >= 2 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1]
    if not (bare.isascii() and bare.isprintable() and 1 <= len(bare) <= REQUEST_ID_BYTES_MAX):
        rule = f"must be 1 to {REQUEST_ID_BYTES_MAX} printable characters of ASCII"
        raise InvalidInputError("Idempotency-Key", text, rule)
    return bare


def unpacked(request: Request) -> Iterable[bytes]:
    """Return the chunks of a body, decompressed if it is gzip; HttpError for another coding."""
    encoding = content_encoding(request.head.headers)
    if encoding not in ("identity", "gzip"):
        raise HttpError(
            415,
            "UnsupportedMediaTypeException",
            f"content-encoding {shown(encoding)}: use gzip or none",
            (("accept-encoding", "gzip"),),
        )
    return gunzipped(request.chunks) if encoding == "gzip" else request.chunks


def create_events(request: Request) -> Response:
    """Store a stream of events, in chunks that are each durable; the answer counts their outcomes."""
    instance = request.instance()
    chunks = unpacked(request)
    form = Form.TODAY

    def events() -> Iterator[Columns[int | None]]:
        nonlocal form  # that of the first event is that of the answer
        reader = batch_reader(request.head.headers)
        for nth, part in enumerate(reader.decode_batch(chunks, keeps_user=_keeps_user(request))):
            if not nth:
                form = part.form
            request.check_still_permitted()
            yield all_signed(request, part.events)

    try:
        counts = instance.append_columns(events(), request_id=_request_id(request))
    except ArchiveError as error:
        if isinstance(error.counts, AppendCounts):
            request.lease.reserve(_conflict_bytes(error.counts))
        raise RequestFailedError(error, form) from error
    request.lease.reserve(_conflict_bytes(counts))
    return request.answer(counts_message(counts, form))


def _conflict_bytes(counts: AppendCounts) -> int:
    """Return the bytes of text in the conflicts that an answer shows."""
    return sum(event_bytes(one.stored) + event_bytes(one.offered) for one in counts.conflicts)
