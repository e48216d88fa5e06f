"""The routes that read history: pages, sources, streams, CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from yamcs_archive.http import selection
from yamcs_archive.http.messages import JSON, PROTOBUF, Response
from yamcs_archive.http.replies import reply
from yamcs_archive.http.requests import Request
from yamcs_archive.http.selection import Selection
from yamcs_archive.wire import csv, json, protobuf
from yamcs_archive.wire.fields import varint
from yamcs_archive.wire.forms import Form
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.tokens import encode_token

_CHUNK_BYTES = 64 << 10
"""About so much of a stream is written at once."""


def list_events(request: Request) -> Response:
    """Answer a page of history, newest first unless ``order=asc``: what the query string asks for."""
    return _page(request, selection.of_query(request.head.query))


def list_events_posted(request: Request) -> Response:
    """Answer a page of history: what the body asks for."""
    return _page(request, _posted(request, today.ListEventsRequest()))


def _posted(request: Request, message: Any) -> Selection:
    if request.binary:
        return selection.of_message(message, request.body)
    return selection.of_object(request.body)


def _page(request: Request, asked: Selection) -> Response:
    instance = request.instance()
    request.form = asked.form
    events = list(asked.events(instance, page=True))
    token = None
    if len(events) > asked.limit:
        events.pop()
        token = encode_token(instance.name, events[-1].key)
    if request.media == PROTOBUF:
        body = protobuf.encode_list(events, asked.form)
        if token is not None:
            body += protobuf.encode_fields([(2, token.encode())])
        return reply(PROTOBUF, body)
    shown = [json.shown(event, asked.form) for event in events]
    document: dict[str, Any] = {"event": shown} if shown else {}
    if token is not None:
        document["continuationToken"] = token
    if shown and asked.form is Form.TODAY:
        document["events"] = shown
    return reply(JSON, json.encode(document))


def list_sources(request: Request) -> Response:
    """List every source that ever had an event, in the order of their names in lower case."""
    names = sorted(request.instance().sources(), key=lambda name: (name.casefold(), name))
    if request.media == PROTOBUF:
        message = today.ListEventSourcesResponse(source=names, sources=names)
        return reply(PROTOBUF, message.SerializeToString())
    return reply(JSON, json.encode({"source": names, "sources": names} if names else {}))


def stream_events(request: Request) -> Response:
    """Answer all events that the body asks for, oldest first, as they are read.

    In protobuf each message has its length before it; in JSON the objects stand one directly behind another.
    """
    asked = _posted(request, today.StreamEventsRequest())
    events = asked.events(request.instance())
    if request.media == PROTOBUF:
        messages = (protobuf.encode_event(event, asked.form) for event in events)
        return _streamed(PROTOBUF, (varint(len(message)) + message for message in messages))
    return _streamed(JSON, (json.encode(json.shown(event, asked.form)) for event in events))


def export_events(request: Request) -> Response:
    """Answer all events that the query string asks for as CSV, oldest first."""
    values = selection.parameters(request.head.query)
    columns = csv.columns_of(_last(values, "columns"))
    delimiter = csv.delimiter_of(_last(values, "delimiter"))
    asked = selection.of_query(request.head.query)
    events = asked.events(request.instance())
    name = f"event_export_{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}.csv"
    lines = csv.lines(events, columns, delimiter)
    return _streamed("text/csv", lines, (("content-disposition", f'attachment; filename="{name}"'),))


def _last(values: dict[str, list[str]], name: str) -> str | None:
    return values.get(name, [""])[-1] or None


def _streamed(media: str, parts: Iterator[bytes], headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return a response that is written as it is read; what fails before its first chunk is an answer."""
    chunks = _chunks(parts)
    first = next(chunks, b"")
    return Response(200, (("content-type", media), *headers), _closing(first, chunks))


def _closing(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from chunks


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield parts together, about 64 KiB at a time."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= _CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
