"""The routes of the event index, which says when each source sent events: page by page, or as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from google.protobuf.message import Message

from yamcs_archive.event import Stretch
from yamcs_archive.http import query
from yamcs_archive.http.left_out import left_out_of
from yamcs_archive.http.limits import INDEX_ENTRIES_DEFAULT, INDEX_ENTRIES_MAX
from yamcs_archive.http.query import Fields
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response
from yamcs_archive.http.streaming import streamed
from yamcs_archive.limits import PAUSE_US_DEFAULT, PAUSE_US_MAX
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.codec import Codec
from yamcs_archive.wire.page_token import Mark, decode_mark, encode_mark
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

_PARAMETERS = ("start", "stop", "source", "mergeTime", "limit", "next")
_INT32_MAX = 2**31 - 1
_RECORDS = 500
"""Records in one chunk of a stream."""


def list_event_index(request: Request) -> Response:
    """Answer a page of the index: for each source, the stretches of its events without a long pause."""
    fields = query.fields_of_query(request.head.query, _PARAMETERS)
    instance = request.instance()
    limit = fields.integer("limit", INDEX_ENTRIES_DEFAULT, 1, INDEX_ENTRIES_MAX)
    start, token = fields.instant("start"), fields.text("next")
    left_out = left_out_of(request.head)
    mark = None if token is None else decode_mark(token, instance.name)
    if mark is not None:
        start = mark.resume if start is None else max(start, mark.resume)
    found = instance.histogram(
        start=start,
        stop=fields.instant("stop"),
        sources=request.readable_of(fields.sources()),
        pause_us=_pause_us(fields),
        cancelled=request.given_up,
        skip_damaged=left_out or False,
    )
    following = (stretch for stretch in found if mark is None or (stretch.stop, stretch.source) > mark[1:])
    entries = list(islice(following, limit))
    token = None
    if len(entries) == limit and (next_one := next(following, None)) is not None:
        resume = min(next_one.start, next_one.start if found.resume is None else found.resume)
        token = encode_mark(instance.name, Mark(resume, entries[-1].stop, entries[-1].source))
    answer = request.answer(_index(entries, token))
    answer.headers += () if left_out is None else left_out.headers
    return answer


def _pause_us(fields: Fields) -> int:
    return 1000 * fields.integer("mergeTime", PAUSE_US_DEFAULT // 1000, 0, PAUSE_US_MAX // 1000)


def _index(entries: Sequence[Stretch], token: str | None) -> today.IndexResponse:
    groups: dict[str, list[today.IndexEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.source, []).append(_entry(entry))
    message = today.IndexResponse(continuationToken=token)
    for name in sorted(groups):
        message.group.add(id=today.NamedObjectId(name=name), entry=groups[name])
    return message


def _entry(stretch: Stretch) -> today.IndexEntry:
    return today.IndexEntry(
        start=_with_fraction(stretch.start),
        stop=_with_fraction(stretch.stop),
        count=min(stretch.events, _INT32_MAX),  # the largest number that the message can hold
    )


def _with_fraction(time_us: int) -> str:
    """Return a time as it is written in the index: with at least 3 fraction digits.

    >>> _with_fraction(0)
    '1970-01-01T00:00:00.000Z'
    """
    text = format_rfc3339(time_us)
    return text if "." in text else f"{text[:-1]}.000Z"


def stream_event_index(request: Request) -> Response:
    """Answer the whole index that the body asks for, record by record, as it is found."""
    fields = request.fields(today.StreamEventIndexRequest())
    found = request.instance().histogram(
        start=fields.instant("start"),
        stop=fields.instant("stop"),
        sources=request.readable_of(None),
        pause_us=_pause_us(fields),
        cancelled=request.given_up,
        skip_damaged=left_out_of(request.head) or False,
    )
    return streamed(request.codec.media, _records(found, request.codec))


def _records(found: Iterable[Stretch], codec: Codec) -> Iterator[bytes]:
    stretches = iter(found)
    while chunk := codec.records(map(_record, islice(stretches, _RECORDS))):
        yield chunk


def _record(stretch: Stretch) -> Message:
    record = today.ArchiveRecord(
        id=today.NamedObjectId(name=stretch.source), num=min(stretch.events, _INT32_MAX)
    )
    record.first.FromMicroseconds(stretch.start)
    record.last.FromMicroseconds(stretch.stop)
    return record
