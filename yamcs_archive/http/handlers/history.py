"""The routes that read history: pages, sources, streams, CSV."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from google.protobuf.message import Message

from yamcs_archive.event import EXTRA_PAIR_BYTES, Event
from yamcs_archive.http import query
from yamcs_archive.http.errors import reply
from yamcs_archive.http.messages import JSON, PROTOBUF, Response
from yamcs_archive.http.query import Selection
from yamcs_archive.http.request import Request
from yamcs_archive.http.streaming import encoded, streamed
from yamcs_archive.http.weighing import Hold
from yamcs_archive.limits import PAGE_BYTES_MAX
from yamcs_archive.wire import csv, fast_path, json, protobuf
from yamcs_archive.wire.form import Form
from yamcs_archive.wire.page_token import encode_token
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today


def list_events(request: Request) -> Response:
    """Answer a page of history, newest first unless ``order=asc``: what the query string asks for."""
    return _page(request, query.of_query(request.head.query))


def list_events_posted(request: Request) -> Response:
    """Answer a page of history: what the body asks for."""
    return _page(request, _posted(request, today.ListEventsRequest()))


def _posted(request: Request, message: Message) -> Selection:
    return query.of_posted(request.body, message, binary=request.binary)


def _page(request: Request, asked: Selection) -> Response:
    instance = request.instance()
    request.form = asked.form
    events, more = _first_of(asked.page(instance, request.given_up), asked.limit, request.hold)
    token = encode_token(instance.name, events[-1].key) if more else None
    if asked.form is Form.TODAY:
        encode = fast_path.encode_protobuf_page if request.media == PROTOBUF else fast_path.encode_json_page
        return reply(request.media, encode(events, token))
    if request.media == PROTOBUF:
        body = protobuf.encode_list(events, asked.form)
        if token is not None:
            body += protobuf.encode_fields([(2, token.encode())])
        return reply(PROTOBUF, body)
    document: dict[str, Any] = (
        {"event": [json.shown(event, asked.form) for event in events]} if events else {}
    )
    if token is not None:
        document["continuationToken"] = token
    return reply(JSON, json.encode(document))


def _first_of(events: Iterator[Event], limit: int, hold: Hold) -> tuple[list[Event], bool]:
    """Return the events of a page, and whether there are more: fewer than asked for where they are large."""
    found: list[Event] = []
    size_bytes = 0
    for event in events:
        size_bytes += _utf8_bytes(event.message)
        if event.type or event.created_by:
            size_bytes += _utf8_bytes(event.type or "") + _utf8_bytes(event.created_by or "")
        if event.extra or event.extensions:
            size_bytes += len(event.extensions) + sum(map(_utf8_bytes, chain(*event.extra.items())))
            size_bytes += len(event.extra) * EXTRA_PAIR_BYTES
        if found and (len(found) == limit or size_bytes > PAGE_BYTES_MAX):
            return found, True
        if not hold.grows(size_bytes) and found:
            return found, True
        found.append(event)
    return found, False


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def count_events(request: Request) -> Response:
    """Answer the number of events that match the query string."""
    return _counted(request, query.of_query_unpaged(request.head.query))


def count_events_posted(request: Request) -> Response:
    """Answer the number of events that match the body."""
    return _counted(request, _posted(request, today.CountEventsRequest()))


def _counted(request: Request, asked: Selection) -> Response:
    if request.head_only and asked.count_reads:
        asked.count(request.instance(), lambda: True)  # refuses what is wrong, and reads nothing
        return Response(200, (("content-type", request.media),))
    count = asked.count(request.instance(), request.given_up)
    if request.media == PROTOBUF:
        return reply(PROTOBUF, today.CountEventsResponse(count=count).SerializeToString())
    return reply(JSON, json.encode({"count": count}))


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
    events = asked.batches(request.instance(), request.given_up)
    encode = fast_path.encode_protobuf_stream if request.media == PROTOBUF else fast_path.encode_json_stream
    return streamed(request.media, encoded(events, encode))


def export_events(request: Request) -> Response:
    """Answer all events that the query string asks for as CSV, oldest first."""
    given = query.given_by_query(request.head.query)
    columns = csv.columns_of(given.text("columns"))
    delimiter = csv.delimiter_of(given.text("delimiter"))
    asked = query.of_query_unpaged(request.head.query)
    events = asked.batches(request.instance(), request.given_up)
    name = f"event_export_{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}.csv"
    disposition = ("content-disposition", f'attachment; filename="{name}"')
    if request.head_only:  # nothing is read: the length is known only at the end
        return Response(200, (("content-type", "text/csv"), disposition), iter(()))
    if columns is csv.PLAIN:
        lines = encoded(events, lambda some: fast_path.encode_csv_rows(some, delimiter))
    else:
        lines = encoded(events, lambda some: b"".join(csv.lines(some.events(), columns, delimiter)))
    headings = csv.line([heading for heading, _ in columns], delimiter)
    return streamed("text/csv", _behind(headings, lines), (disposition,))


def _behind(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks, the first of them behind a head."""
    yield head + next(chunks, b"")
    yield from chunks
