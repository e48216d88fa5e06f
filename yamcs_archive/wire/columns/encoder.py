"""Many events at once -> JSON, protobuf and CSV of today's form, for streams and pages; pure.

1. What is written is byte for byte what :mod:`~yamcs_archive.wire.json`, :mod:`~yamcs_archive.wire.protobuf`
   and :mod:`~yamcs_archive.wire.csv` write of one event after another, which stay the rule. Events that
   have more than the common fields are left to them.
2. Everything is done by column: what is the same for many events is made once and put in its places by
   numpy. No Python statement is executed for each event, which would cost more than its share of all this.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.wire import csv, json, protobuf
from yamcs_archive.wire.columns.timestamps import Timestamps, texts, varint_bytes, varints
from yamcs_archive.wire.columns.vectors import (
    EventVectors,
    Memo,
    Parts,
    by_field,
    column,
    each,
    lengths,
    parts_of,
    uncommon,
    woven,
)
from yamcs_archive.wire.form import SHOWN_TODAY, Form
from yamcs_archive.wire.protobuf_scan import varint

_encode_lines = msgspec.json.Encoder().encode_lines
_Columns = list[Parts | list[bytes] | bytes]


def json_objects(events: EventVectors) -> bytes:
    """Return events as JSON objects, one directly behind another.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> json_objects(by_field([event, event])) == 2 * json.encode(json.shown(event, Form.TODAY))
    True
    """
    return b"".join(_json(events)[0])


def json_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events, each under its new name and under its old one.

    >>> json_page([], None)
    b'{}'
    """
    given = b"" if token is None else b'"continuationToken": ' + msgspec.json.encode(token)
    if not events:
        return b"{\n  " + given + _END if given else b"{}"
    # A page may have 4 MiB of text, so no more copies are made of it than must be: it is formatted once, and
    # its array put in its two places by the one call that makes the whole.
    whole = msgspec.json.format(_in_array(each(*_json(by_field(events)))), indent=2)
    shown = memoryview(whole)[len(_BEFORE_ARRAY) : -len(_END)]
    between = b",\n  " + given + b',\n  "events": ' if given else b',\n  "events": '
    return b"".join((b'{\n  "event": ', shown, between, shown, _END))


def _in_array(objects: list[bytes]) -> bytes:
    objects[0] = b'{"a":[' + objects[0]
    objects[-1] += b"]}"
    return b",".join(objects)


_BEFORE_ARRAY, _END = b'{\n  "a": ', b"\n}"


def _json(events: EventVectors) -> tuple[list[bytes], int]:
    """Return events as parts of UTF-8, and how many an event has."""
    count = len(events.messages)
    columns: _Columns = [
        column(_JSON_HEAD, events.sources),
        *texts(events.times),
        b'",\n  "receptionTime": "',
        *texts(events.received),
        b'",\n  "seqNumber": ',
        [b"%d" % number for number in events.numbers.tolist()],
        column(_JSON_TYPE, events.types),
        # A line feed within a text is escaped, so lines are told apart for certain.
        _encode_lines(events.messages).split(b"\n")[:count],
        _JSON_END[events.severities],
    ]
    others = [(at, json.encode(json.shown(events.event(at), Form.TODAY))) for at in uncommon(events)]
    return woven(columns, count, others), len(columns)


def _json_type(kind: str | None) -> bytes:
    field = b"" if kind is None else b',\n  "type": ' + msgspec.json.encode(kind)
    return field + b',\n  "message": '


_JSON_HEAD = Memo(
    lambda source: b'{\n  "source": ' + msgspec.json.encode(source) + b',\n  "generationTime": "'
)
_JSON_TYPE = Memo(_json_type)
_JSON_END = parts_of(f',\n  "severity": "{SHOWN_TODAY[severity]}"\n}}'.encode() for severity in SEVERITIES)


def messages(events: EventVectors) -> bytes:
    """Return events as protobuf messages, each with its length before it as a varint.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> messages(by_field([event]))[1:] == protobuf.encode_event(event, Form.TODAY)
    True
    """
    return b"".join(_messages(events)[0])


def message_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events as ``ListEventsResponse``.

    >>> message_page([], None)
    b''
    """
    parts = each(*_messages(by_field(events)))
    listed = [b"".join([name + part for part in parts]) for name in (b"\x0a", b"\x1a")]
    given = b"" if token is None else protobuf.encode_fields([(2, token.encode())])
    return listed[0] + given + listed[1]


def _messages(events: EventVectors) -> tuple[list[bytes], int]:
    """Return events as parts, the length before each, and how many parts an event has."""
    count = len(events.messages)
    text = list(map(str.encode, events.messages))
    text_bytes = lengths(text, count)
    generated, generated_bytes = _GENERATED.fields(events.times)
    received, received_bytes = _RECEIVED.fields(events.received)
    sources = parts_of(map(_SOURCE.__getitem__, events.sources.values))
    types = parts_of(map(_TYPE.__getitem__, events.types.values))
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
    for at in uncommon(events):
        message = protobuf.encode_event(events.event(at), Form.TODAY)
        others.append((at, varint(len(message)) + message))
    return woven(columns, count, others), len(columns)


def _field(number: int, text: str | None) -> bytes:
    return b"" if text is None else protobuf.encode_fields([(number, text.encode())])


_SOURCE = Memo(lambda source: _field(1, source))
_TYPE = Memo(lambda kind: _field(5, kind) + b"\x32")  # with the tag of the message, which follows
_GENERATED, _RECEIVED = Timestamps(2), Timestamps(3)
_SEVERITY = parts_of(bytes([0x38, protobuf.NUMBERS_TODAY[severity]]) for severity in SEVERITIES)
_NUMBER_AND_SEVERITY_BYTES = 1 + 2
"""The tag of the one, all of the other."""


def csv_lines(events: EventVectors, delimiter: str) -> bytes:
    """Return events as lines of the columns that a Yamcs server exports.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> csv_lines(by_field([event]), ",") == b"".join(csv.lines([event], csv.PLAIN, ","))
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
        column(first, events.sources),
        *texts(events.times),
        delimiter.encode(),
        *texts(events.received),
        column(later, events.types),
        list(map(str.encode, messages)),
        b"\n",
    ]
    return b"".join(woven(columns, len(messages)))


def _csv_fields(delimiter: str) -> tuple[Memo[bytes], Memo[bytes]]:
    """Return what makes a field with the delimiter behind it, and one with another before it."""
    return (
        Memo(lambda text: (csv.field(text or "", delimiter) + delimiter).encode()),
        Memo(lambda text: (delimiter + csv.field(text or "", delimiter) + delimiter).encode()),
    )


_CSV = {delimiter: _csv_fields(delimiter) for delimiter in csv.DELIMITERS.values()}
