"""The routes that say when each source was heard: the event index, page by page or as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from yamcs_archive.event import Stretch
from yamcs_archive.http import query
from yamcs_archive.http.errors import reply
from yamcs_archive.http.messages import JSON, PROTOBUF, Response
from yamcs_archive.http.query import Given
from yamcs_archive.http.request import Request
from yamcs_archive.http.streaming import streamed
from yamcs_archive.limits import INDEX_ENTRIES_DEFAULT, INDEX_ENTRIES_MAX, PAUSE_US_DEFAULT, PAUSE_US_MAX
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire import json
from yamcs_archive.wire.page_token import Mark, decode_mark, encode_mark
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint

_INT32_MAX = 2**31 - 1
_RECORDS = 500
"""So many records are written at once."""


def list_event_index(request: Request) -> Response:
    """Answer a page of the index: for each source, the stretches of its events without a long pause."""
    given = query.given_by_query(request.head.query)
    instance = request.instance()
    limit = given.integer("limit", INDEX_ENTRIES_DEFAULT, 1, INDEX_ENTRIES_MAX)
    start, token = given.instant("start"), given.text("next")
    mark = None if token is None else decode_mark(token, instance.name)
    if mark is not None:
        start = mark.resume if start is None else max(start, mark.resume)
    found = instance.histogram(
        start=start,
        stop=given.instant("stop"),
        sources=given.sources(),
        pause_us=_pause_us(given),
        cancelled=request.given_up,
    )
    behind = (stretch for stretch in found if mark is None or (stretch.stop, stretch.source) > mark[1:])
    entries = list(islice(behind, limit))
    token = None
    if len(entries) == limit and (following := next(behind, None)) is not None:
        resume = min(following.start, following.start if found.resume is None else found.resume)
        token = encode_mark(instance.name, Mark(resume, entries[-1].stop, entries[-1].source))
    groups: dict[str, list[Stretch]] = {}
    for entry in entries:
        groups.setdefault(entry.source, []).append(entry)
    if request.media == PROTOBUF:
        return reply(PROTOBUF, _index_message(groups, token))
    return reply(JSON, json.encode(_index_object(groups, token)))


def _pause_us(given: Given) -> int:
    return 1000 * given.integer("mergeTime", PAUSE_US_DEFAULT // 1000, 0, PAUSE_US_MAX // 1000)


def _index_object(groups: dict[str, list[Stretch]], token: str | None) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if groups:
        document["group"] = [
            {"id": {"name": name}, "entry": [_entry(entry) for entry in groups[name]]}
            for name in sorted(groups)
        ]
    if token is not None:
        document["continuationToken"] = token
    return document


def _index_message(groups: dict[str, list[Stretch]], token: str | None) -> bytes:
    message = today.IndexResponse(continuationToken=token)
    for name in sorted(groups):
        entries = [today.IndexEntry(**_entry(entry)) for entry in groups[name]]
        message.group.add(id=today.NamedObjectId(name=name), entry=entries)
    return bytes(message.SerializeToString())


def _entry(stretch: Stretch) -> dict[str, Any]:
    return {
        "start": _with_fraction(stretch.start),
        "stop": _with_fraction(stretch.stop),
        "count": min(stretch.events, _INT32_MAX),  # as much as the message can hold
    }


def _with_fraction(time_us: int) -> str:
    """Return a time as the index has it: with 3 fraction digits at least.

    >>> _with_fraction(0)
    '1970-01-01T00:00:00.000Z'
    """
    text = format_rfc3339(time_us)
    return text if "." in text else f"{text[:-1]}.000Z"


def stream_event_index(request: Request) -> Response:
    """Answer the whole index that the body asks for, record by record, as it is found."""
    message = today.StreamEventIndexRequest()
    given = query.given_by_body(request.body, message, binary=request.binary)
    found = request.instance().histogram(
        start=given.instant("start"),
        stop=given.instant("stop"),
        pause_us=_pause_us(given),
        cancelled=request.given_up,
    )
    encode = _record_message if request.media == PROTOBUF else _record_object
    return streamed(request.media, _together(encode(stretch) for stretch in found))


def _together(records: Iterator[bytes]) -> Iterator[bytes]:
    while chunk := b"".join(islice(records, _RECORDS)):
        yield chunk


def _record_object(stretch: Stretch) -> bytes:
    return json.encode(
        {
            "id": {"name": stretch.source},
            "num": min(stretch.events, _INT32_MAX),
            "first": format_rfc3339(stretch.start),
            "last": format_rfc3339(stretch.stop),
        }
    )


def _record_message(stretch: Stretch) -> bytes:
    record = today.ArchiveRecord(
        id=today.NamedObjectId(name=stretch.source), num=min(stretch.events, _INT32_MAX)
    )
    record.first.FromMicroseconds(stretch.start)
    record.last.FromMicroseconds(stretch.stop)
    body: bytes = record.SerializeToString()
    return varint(len(body)) + body
