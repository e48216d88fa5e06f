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
from yamcs_archive.wire.fields import varint
from yamcs_archive.wire.forms import SHOWN_TODAY, Form
from yamcs_archive.wire.instants import Timestamps, texts, varint_bytes, varints
from yamcs_archive.wire.many import (
    Kept,
    Many,
    Texts,
    by_field,
    column,
    each,
    lengths,
    texts_of,
    uncommon,
    woven,
)

_encode_lines = msgspec.json.Encoder().encode_lines
_Columns = list[Texts | list[str] | str]


def json_objects(events: Many) -> bytes:
    """Return events as JSON objects, one directly behind another.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> json_objects(by_field([event, event])) == 2 * json.encode(json.shown(event, Form.TODAY))
    True
    """
    return "".join(_json(events)[0]).encode("latin-1")


def json_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events, each under its new name and under its old one.

    >>> json_page([], None)
    b'{}'
    """
    array = f"[{','.join(each(*_json(by_field(events))))}]"
    # Formatted once: an array of 16 MiB is held a few times less so than in one document with both.
    shown = msgspec.json.format(f'{{"a":{array}}}'.encode("latin-1"), indent=2)[
        len(_BEFORE_ARRAY) : -len(_END)
    ]
    fields = [
        b'"event": ' + shown,
        b'"continuationToken": ' + msgspec.json.encode(token),
        b'"events": ' + shown,
    ]
    there = [field for field, given in zip(fields, (events, token, events), strict=True) if given]
    return b"{\n  " + b",\n  ".join(there) + _END if there else b"{}"


_BEFORE_ARRAY, _END = b'{\n  "a": ', b"\n}"


def _json(events: Many) -> tuple[list[str], int]:
    """Return events as parts of UTF-8, held as latin-1 text, and how many an event has."""
    count = len(events.messages)
    columns: _Columns = [
        column(_JSON_HEAD, events.sources),
        *texts(events.times),
        '",\n  "receptionTime": "',
        *texts(events.received),
        '",\n  "seqNumber": ',
        list(map(str, events.numbers.tolist())),
        column(_JSON_TYPE, events.types),
        # A line feed within a text is escaped, so lines are told apart for certain.
        _encode_lines(events.messages).decode("latin-1").split("\n")[:count],
        _JSON_END[events.severities],
    ]
    others = [
        (at, json.encode(json.shown(events.event(at), Form.TODAY)).decode("latin-1"))
        for at in uncommon(events)
    ]
    return woven(columns, count, others), len(columns)


def _text(text: str | None) -> str:
    return msgspec.json.encode(text).decode("latin-1")


_JSON_HEAD = Kept(lambda source: f'{{\n  "source": {_text(source)},\n  "generationTime": "')
_JSON_TYPE = Kept(lambda kind: ("" if kind is None else f',\n  "type": {_text(kind)}') + ',\n  "message": ')
_JSON_END = texts_of(f',\n  "severity": "{SHOWN_TODAY[severity]}"\n}}' for severity in SEVERITIES)


def messages(events: Many) -> bytes:
    """Return events as protobuf messages, each with its length before it as a varint.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> messages(by_field([event]))[1:] == protobuf.encode_event(event, Form.TODAY)
    True
    """
    return "".join(_messages(events)[0]).encode("latin-1")


def message_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events as ``ListEventsResponse``.

    >>> message_page([], None)
    b''
    """
    parts = each(*_messages(by_field(events)))
    listed = ["".join([name + part for part in parts]).encode("latin-1") for name in ("\x0a", "\x1a")]
    given = b"" if token is None else protobuf.encode_fields([(2, token.encode())])
    return listed[0] + given + listed[1]


def _messages(events: Many) -> tuple[list[str], int]:
    """Return events as parts of latin-1 text, the length before each, and how many parts an event has."""
    count = len(events.messages)
    text = [
        message if message.isascii() else message.encode().decode("latin-1") for message in events.messages
    ]
    text_bytes = lengths(text, count)
    generated, generated_bytes = _GENERATED.fields(events.times)
    received, received_bytes = _RECEIVED.fields(events.received)
    sources = texts_of(map(_SOURCE.__getitem__, events.sources.table))
    types = texts_of(map(_TYPE.__getitem__, events.types.table))
    event_bytes = (
        lengths(sources, len(sources))[events.sources.places]
        + generated_bytes
        + received_bytes
        + varint_bytes(events.numbers)
        + lengths(types, len(types))[events.types.places]
        + varint_bytes(text_bytes)
        + text_bytes
        + _NUMBER_AND_SEVERITY_BYTES
    )
    columns: _Columns = [
        *varints(event_bytes),
        sources[events.sources.places],
        *generated,
        *received,
        "\x20",
        *varints(events.numbers),
        types[events.types.places],
        *varints(text_bytes),
        text,
        _SEVERITY[events.severities],
    ]
    others = []
    for at in uncommon(events):
        message = protobuf.encode_event(events.event(at), Form.TODAY)
        others.append((at, (varint(len(message)) + message).decode("latin-1")))
    return woven(columns, count, others), len(columns)


def _field(number: int, text: str | None) -> str:
    return "" if text is None else protobuf.encode_fields([(number, text.encode())]).decode("latin-1")


_SOURCE = Kept(lambda source: _field(1, source))
_TYPE = Kept(lambda kind: _field(5, kind) + "\x32")  # with the tag of the message, which follows
_GENERATED, _RECEIVED = Timestamps(2), Timestamps(3)
_SEVERITY = texts_of("\x38" + chr(protobuf.NUMBERS_TODAY[severity]) for severity in SEVERITIES)
_NUMBER_AND_SEVERITY_BYTES = 1 + 2
"""The tag of the one, all of the other."""


def csv_lines(events: Many, delimiter: str) -> bytes:
    """Return events as lines of the columns that a Yamcs server exports.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> csv_lines(by_field([event]), ",") == b"".join(csv.lines([event], csv.PLAIN, ","))
    True
    """
    fields = _CSV[delimiter]
    messages = events.messages
    together = "".join(messages)
    if delimiter in together or '"' in together or "\n" in together:
        messages = [csv.field(message, delimiter) for message in messages]
    else:
        messages = [message.strip(csv.BLANKS) for message in messages]
    columns: _Columns = [
        column(fields, events.sources),
        delimiter,
        *texts(events.times),
        delimiter,
        *texts(events.received),
        delimiter,
        column(fields, events.types),
        delimiter,
        messages,
        "\n",
    ]
    return "".join(woven(columns, len(messages))).encode()


def _csv_fragments(delimiter: str) -> Kept[str]:
    return Kept(lambda text: csv.field(text or "", delimiter))


_CSV = {delimiter: _csv_fragments(delimiter) for delimiter in csv.DELIMITERS.values()}
