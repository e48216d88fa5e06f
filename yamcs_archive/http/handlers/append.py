"""The routes that store events: one, or a stream of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

from yamcs_archive.columns import Columns
from yamcs_archive.errors import (
    ArchiveError,
    ConflictError,
    InvalidInputError,
    OutcomeUnknownError,
    shown,
)
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.http.errors import HttpError, counts_message, counts_object, error_reply, reply
from yamcs_archive.http.media_types import content_encoding, media_type
from yamcs_archive.http.messages import JSON, MSGPACK, PROTOBUF, Pending, Response, Work
from yamcs_archive.http.request import Request
from yamcs_archive.limits import QUICK_BODY_BYTES_MAX, REQUEST_ID_BYTES_MAX
from yamcs_archive.results import AppendCounts, Appended
from yamcs_archive.wire import batch, json, protobuf
from yamcs_archive.wire.columns import decoder
from yamcs_archive.wire.form import Form


def create_event(request: Request) -> Response | Pending:
    """Store one event; the answer leaves when it is durable."""
    instance = request.instance()
    request.form, event = _decoded(request)
    media, form, hold = request.media, request.form, request.hold

    def finish(done: Future[Appended]) -> Response:
        hold.makes(_text_bytes(done))
        error = done.exception()
        if error is not None:
            return error_reply(error, media, form)
        return _event_reply(done.result().event, media, form)

    submitted = instance.submit(event, request_id=_request_id(request))
    return Pending(submitted, finish, work=Work.QUICK, is_large=_is_large)


def _is_large(done: Future[Appended]) -> bool:
    """Return whether the answer has more text than an event loop should write."""
    return _text_bytes(done) > QUICK_BODY_BYTES_MAX


def _text_bytes(done: Future[Appended]) -> int:
    """Return the bytes of text of the answer: a small event may conflict with a large one."""
    error = done.exception()
    if error is None:
        return event_bytes(done.result().event)
    if isinstance(error, ConflictError):
        return event_bytes(error.stored) + event_bytes(error.offered)
    return sum(map(event_bytes, error.events[:1])) if isinstance(error, OutcomeUnknownError) else 0


def _decoded(request: Request) -> tuple[Form, Event]:
    body = request.body
    event = decoder.of_message(body) if request.binary else decoder.of_body(body)
    if event is not None:
        return Form.TODAY, event
    return protobuf.decode_event(body) if request.binary else json.decode_event(body)


def _request_id(request: Request) -> str | None:
    """Return what the header Idempotency-Key says, with or without quotes around it; None without one."""
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


def _event_reply(event: Event, media: str, form: Form) -> Response:
    if media == PROTOBUF:
        return reply(PROTOBUF, protobuf.encode_event(event, form))
    return reply(JSON, json.encode(json.shown(event, form)))


def create_events(request: Request) -> Response:
    """Store a stream of events, in chunks that are each durable; the answer counts what became of them."""
    instance = request.instance()
    encoding = content_encoding(request.head.headers)
    if encoding not in ("identity", "gzip"):
        raise HttpError(
            415,
            "UnsupportedMediaTypeException",
            f"content-encoding {shown(encoding)}: use gzip or none",
            (("accept-encoding", "gzip"),),
        )
    chunks = batch.gunzipped(request.chunks) if encoding == "gzip" else request.chunks
    parts = _BATCH_TYPES.get(media_type(request.head.headers), batch.from_ndjson)(chunks)
    try:
        counts = instance.append_columns(_noting_form(request, parts), request_id=_request_id(request))
    except ArchiveError as error:
        if isinstance(error.counts, AppendCounts):
            request.hold.makes(_conflict_bytes(error.counts))
        raise
    request.hold.makes(_conflict_bytes(counts))
    if request.media == PROTOBUF:
        return reply(PROTOBUF, counts_message(counts, request.form))
    return reply(JSON, json.encode(counts_object(counts, request.form)))


def _conflict_bytes(counts: AppendCounts) -> int:
    """Return the bytes of text of the conflicts that an answer shows."""
    return sum(event_bytes(one.stored) + event_bytes(one.offered) for one in counts.conflicts)


_BATCH_TYPES: dict[str, Callable[[Iterable[bytes]], Iterator[batch.Part]]] = {
    PROTOBUF: batch.from_protobuf,
    MSGPACK: batch.from_msgpack,
}
"""How the elements of a batch are told apart; everything else is newline-delimited JSON."""


def _noting_form(request: Request, parts: Iterator[batch.Part]) -> Iterator[Columns[int | None]]:
    """Yield the events; the form of the first one is the form of the answer."""
    form: Form | None = None
    for part in parts:
        if form is None:
            request.form = form = Form.TODAY if isinstance(part, Columns) else part[0][0]
        yield part if isinstance(part, Columns) else Columns.of([event for _, event in part])
