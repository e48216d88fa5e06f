"""The routes that read history: pages, counts, sources, streams, CSV. Tables are in :mod:`.tables`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import chain

from google.protobuf.message import Message

from yamcs_archive.event import EXTRA_PAIR_BYTES, Event
from yamcs_archive.http import query
from yamcs_archive.http.admission import Lease
from yamcs_archive.http.handlers.tables import table_of, table_page
from yamcs_archive.http.left_out import LeftOut, left_out_of
from yamcs_archive.http.limits import PAGE_BYTES_MAX
from yamcs_archive.http.media_types import stream_writer, table_media
from yamcs_archive.http.query import EventQuery
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.http.streaming import streamed
from yamcs_archive.wire.codec import CSV, PROTOBUF
from yamcs_archive.wire.csv_codec import CsvCodec
from yamcs_archive.wire.page_token import encode_token
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today


def list_events(request: Request) -> Response:
    """Answer a page of history, newest first unless ``order`` is ``asc``."""
    left_out = left_out_of(request.head)
    asked = _asked(request, today.ListEventsRequest(), query.PAGE_PARAMETERS, left_out)
    instance, codec = request.instance(), request.codec
    events, more = _first_of(asked.page(instance, request.given_up), asked.limit, request.lease)
    token = encode_token(instance.name, events[-1].key) if more else None
    headers = () if left_out is None else left_out.headers
    table = table_media(request.head.headers, PROTOBUF)
    if table is not None:
        return table_page(request, table, events, token, headers)
    return reply(codec.media, codec.page(events, token, asked.form), headers=headers)


def _asked(
    request: Request, message: Message, parameters: Collection[str], left_out: LeftOut | None
) -> EventQuery:
    """Return the query of a query string; of a POST that of the body, which has the fields of ``message``."""
    posted = request.head.method == "POST"
    fields = request.fields(message) if posted else query.fields_of_query(request.head.query, parameters)
    return request.permitted(query.event_query(fields, left_out))


def _first_of(events: Iterator[Event], limit: int, lease: Lease) -> tuple[list[Event], bool]:
    """Return the events of a page, fewer than ``limit`` if they are large, and whether there are more."""
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
        if not lease.grow(size_bytes) and found:
            return found, True
        found.append(event)
    return found, False


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def count_events(request: Request) -> Response:
    """Answer the number of events that match."""
    left_out = left_out_of(request.head)
    asked = _asked(request, today.CountEventsRequest(), query.PARAMETERS, left_out)
    if request.head_only and asked.count_reads:
        asked.count_events(request.instance(), lambda: True)  # refuses a bad query, and reads nothing
        return Response(200, (("content-type", request.codec.media),))
    count = asked.count_events(request.instance(), request.given_up)
    answer = request.answer(today.CountEventsResponse(count=count))
    answer.headers += () if left_out is None else left_out.headers
    return answer


def list_sources(request: Request) -> Response:
    """List every source that ever had an event, in the order of their names in lower case."""
    readable = request.readable()
    found = [name for name in request.instance().sources() if readable is None or readable(name)]
    names = sorted(found, key=lambda name: (name.casefold(), name))
    return request.answer(today.ListEventSourcesResponse(source=names, sources=names))


def stream_events(request: Request) -> Response:
    """Answer all events that the body asks for, oldest first, as they are read.

    In protobuf each message has its length before it; JSON objects and maps of msgpack follow one another. Or
    they are a table.
    """
    writer = stream_writer(request.head.headers)
    asked = _asked(request, today.StreamEventsRequest(), (), left_out_of(request.head))
    table = table_media(request.head.headers, PROTOBUF)
    if table is not None:
        return table_of(request, table, asked)
    events = asked.batches(request.instance(), request.given_up)
    return streamed(writer.media, map(writer.stream, events))


def export_events(request: Request) -> Response:
    """Answer all events that the query string asks for as CSV, oldest first; or as a table."""
    table = table_media(request.head.headers, CSV)
    if table is not None:
        fields = query.fields_of_query(request.head.query, query.PARAMETERS)
        asked = request.permitted(query.event_query(fields, left_out_of(request.head)))
        return table_of(request, table, asked, file=True)
    fields = query.fields_of_query(request.head.query, query.PARAMETERS | {"columns", "delimiter"})
    codec = CsvCodec(fields.text("columns"), fields.text("delimiter"))
    asked = request.permitted(query.event_query(fields, left_out_of(request.head)))
    events = asked.batches(request.instance(), request.given_up)
    name = f"event_export_{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}.csv"
    disposition = ("content-disposition", f'attachment; filename="{name}"')
    if request.head_only:  # nothing is read: the length is known only at the end
        return Response(200, (("content-type", codec.media), disposition), iter(()))
    return streamed(codec.media, map(codec.stream, events), (disposition,), codec.headings())
