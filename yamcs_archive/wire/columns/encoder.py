"""Many events at once -> JSON, protobuf and CSV of today's form, for streams and pages; pure.

1. The result is byte for byte that of :mod:`~yamcs_archive.wire.event_by_event`. Events with rare fields are
   written by :mod:`~yamcs_archive.wire.json` and :mod:`~yamcs_archive.wire.protobuf`.
2. All work is done by column: what many events share is made once, and numpy puts it in its places.
   No Python statement is executed for each event; it would cost more than the event's share of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.wire import csv, json, protobuf
from yamcs_archive.wire.api_generations import SHOWN_TODAY, Form
from yamcs_archive.wire.columns.byte_columns import (
    BytesColumn,
    Memo,
    bytes_column,
    interleave,
    lengths,
    looked_up,
    per_event,
    rare,
    vectors_of,
)
from yamcs_archive.wire.columns.timestamps import TimestampField, format_many
from yamcs_archive.wire.columns.varints import varint_bytes, varints
from yamcs_archive.wire.protobuf_scan import varint

_encode_lines = msgspec.json.Encoder().encode_lines
_Columns = list[BytesColumn | list[bytes] | bytes]


def encode_json_stream(events: StoredVectors) -> bytes:
    """Return events as JSON objects, with nothing between them.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> encode_json_stream(vectors_of([event, event])) == 2 * json.encode(json.shown(event, Form.TODAY))
    True
    """
    return b"".join(_json(events)[0])


def encode_json_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events, each under its new name and under its old one.

    >>> encode_json_page([], None)
    b'{}'
    """
    given = b"" if token is None else b'"continuationToken": ' + msgspec.json.encode(token)
    if not events:
        return b"{\n  " + given + _END if given else b"{}"
    # A page may have 4 MiB of text, so it is formatted only once, and one call puts its array in both places.
    whole = msgspec.json.format(_in_array(per_event(*_json(vectors_of(events), events))), indent=2)
    shown = memoryview(whole)[len(_BEFORE_ARRAY) : -len(_END)]
    between = b",\n  " + given + b',\n  "events": ' if given else b',\n  "events": '
    return b"".join((b'{\n  "event": ', shown, between, shown, _END))


def _in_array(objects: list[bytes]) -> bytes:
    objects[0] = b'{"a":[' + objects[0]
    objects[-1] += b"]}"
    return b",".join(objects)


_BEFORE_ARRAY, _END = b'{\n  "a": ', b"\n}"


def _json(events: StoredVectors, listed: Sequence[Event] | None = None) -> tuple[list[bytes], int]:
    """Return events as parts of UTF-8, and the number of parts of an event; ``listed`` is as for ``rare``."""
    count = len(events.messages)
    columns: _Columns = [
        looked_up(_JSON_HEAD, events.sources),
        *format_many(events.times),
        b'",\n  "receptionTime": "',
        *format_many(events.received),
        b'",\n  "seqNumber": ',
        [b"%d" % number for number in events.numbers.tolist()],
        looked_up(_JSON_TYPE, events.types),
        # A line feed within a text is escaped, so each line is one text.
        _encode_lines(events.messages).split(b"\n")[:count],
        _JSON_END[events.severities],
    ]
    others = [(at, json.encode(json.shown(event, Form.TODAY))) for at, event in rare(events, listed)]
    return interleave(columns, count, others), len(columns)


def _json_type(kind: str | None) -> bytes:
    field = b"" if kind is None else b',\n  "type": ' + msgspec.json.encode(kind)
    return field + b',\n  "message": '


_JSON_HEAD = Memo(
    lambda source: b'{\n  "source": ' + msgspec.json.encode(source) + b',\n  "generationTime": "'
)
_JSON_TYPE = Memo(_json_type)
_JSON_END = bytes_column(
    f',\n  "severity": "{SHOWN_TODAY[severity]}"\n}}'.encode() for severity in SEVERITIES
)


def encode_protobuf_stream(events: StoredVectors) -> bytes:
    """Return events as protobuf messages, each with its length before it as a varint.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> encode_protobuf_stream(vectors_of([event]))[1:] == protobuf.encode_event(event, Form.TODAY)
    True
    """
    return b"".join(_messages(events)[0])


def encode_protobuf_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events as ``ListEventsResponse``, each under its new name and under its old one.

    >>> encode_protobuf_page([], None)
    b''
    """
    parts = per_event(*_messages(vectors_of(events), events))
    listed = [b"".join([name + part for part in parts]) for name in (b"\x0a", b"\x1a")]
    given = b"" if token is None else protobuf.encode_fields([(2, token.encode())])
    return listed[0] + given + listed[1]


def _messages(events: StoredVectors, listed: Sequence[Event] | None = None) -> tuple[list[bytes], int]:
    """Return the same in protobuf, each event with its length before it."""
    count = len(events.messages)
    text = list(map(str.encode, events.messages))
    text_bytes = lengths(text, count)
    generated, generated_bytes = _GENERATED.format_many(events.times)
    received, received_bytes = _RECEIVED.format_many(events.received)
    sources = bytes_column(map(_SOURCE.__getitem__, events.sources.values))
    types = bytes_column(map(_TYPE.__getitem__, events.types.values))
    event_bytes = (
        lengths(sources, len(sources))[events.sources.codes]
        + generated_bytes
        + received_bytes
        + varint_bytes(events.numbers)
        + lengths(types, len(types))[events.types.codes]
        + varint_bytes(text_bytes)
        + text_bytes
        + _NUMBER_AND_SEVERITY_BYTES
    )
    columns: _Columns = [
        varints(event_bytes),
        sources[events.sources.codes],
        *generated,
        *received,
        b"\x20",
        varints(events.numbers),
        types[events.types.codes],
        varints(text_bytes),
        text,
        _SEVERITY[events.severities],
    ]
    others = []
    for at, event in rare(events, listed):
        message = protobuf.encode_event(event, Form.TODAY)
        others.append((at, varint(len(message)) + message))
    return interleave(columns, count, others), len(columns)


def _field(number: int, text: str | None) -> bytes:
    return b"" if text is None else protobuf.encode_fields([(number, text.encode())])


_SOURCE = Memo(lambda source: _field(1, source))
_TYPE = Memo(lambda kind: _field(5, kind) + b"\x32")  # with the tag of the message text, which follows
_GENERATED, _RECEIVED = TimestampField(2), TimestampField(3)
_SEVERITY = bytes_column(bytes([0x38, protobuf.NUMBERS_TODAY[severity]]) for severity in SEVERITIES)
_NUMBER_AND_SEVERITY_BYTES = 1 + 2
"""Bytes of the tag of the number, and of the field of the severity."""


def encode_csv_rows(events: StoredVectors, delimiter: str) -> bytes:
    """Return events as rows with the columns that a Yamcs server exports.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> encode_csv_rows(vectors_of([event]), ",") == b"".join(csv.lines([event], csv.PLAIN, ","))
    True
    """
    first, later = _CSV[delimiter]
    messages = events.messages
    together = "".join(messages)
    if delimiter in together or '"' in together or "\n" in together or "\r" in together:
        messages = [csv.field(message, delimiter) for message in messages]
    else:
        messages = [message.strip(csv.BLANKS) for message in messages]
    columns: _Columns = [
        looked_up(first, events.sources),
        *format_many(events.times),
        delimiter.encode(),
        *format_many(events.received),
        looked_up(later, events.types),
        list(map(str.encode, messages)),
        b"\n",
    ]
    return b"".join(interleave(columns, len(messages)))


def _csv_fields(delimiter: str) -> tuple[Memo[bytes], Memo[bytes]]:
    """Return two memos, which write a field with a delimiter after it, and a field between two delimiters."""
    return (
        Memo(lambda text: (csv.field(text or "", delimiter) + delimiter).encode()),
        Memo(lambda text: (delimiter + csv.field(text or "", delimiter) + delimiter).encode()),
    )


_CSV = {delimiter: _csv_fields(delimiter) for delimiter in csv.DELIMITERS.values()}
