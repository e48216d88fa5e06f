"""Many events at once -> JSON, protobuf and CSV of today's form, for streams; pure.

1. What is written is byte for byte what :mod:`~yamcs_archive.wire.json`, :mod:`~yamcs_archive.wire.protobuf`
   and :mod:`~yamcs_archive.wire.csv` write of one event after another, which stay the rule. Events that
   have more than the common fields are left to them.
2. Work that is the same for many events is done once: what says the source, the type, the severity and the
   second of a time. One event is one f-string.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add

import msgspec

from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.wire import csv, json, protobuf
from yamcs_archive.wire.forms import SHOWN_TODAY, Form
from yamcs_archive.wire.instants import Timestamps, small_varints, texts, varint_text

_KEPT_MAX, _KEPT_CHARACTERS_MAX = 4_096, 256
_encode_lines = msgspec.json.Encoder().encode_lines


class _Fragments(dict["str | None", str]):
    """What stands for a source or a type: made when it is first asked for, and kept while they are few."""

    def __init__(self, make: Callable[[str | None], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str | None) -> str:
        fragment = self._make(text)
        if text is None or len(text) <= _KEPT_CHARACTERS_MAX:
            if len(self) >= _KEPT_MAX:
                self.clear()
            self[text] = fragment
        return fragment


def json_objects(events: Sequence[Event]) -> bytes:
    """Return events as JSON objects, one directly behind another.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> json_objects([event, event]) == 2 * json.encode(json.shown(event, Form.TODAY))
    True
    """
    return "".join(_json_parts(events)).encode()


def json_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events, each under its new name and under its old one.

    >>> json_page([], None)
    b'{}'
    """
    array = f"[{','.join(_json_parts(events))}]"
    fields = [f'"event":{array}', f'"continuationToken":{_text(token)}', f'"events":{array}']
    shown = [field for field, there in zip(fields, (events, token, events), strict=True) if there]
    return msgspec.json.format(f"{{{','.join(shown)}}}".encode(), indent=2)


def _json_parts(events: Sequence[Event]) -> list[str]:
    # A line feed within a text is escaped, so lines are told apart for certain.
    messages = _encode_lines([event.message for event in events]).decode().split("\n")
    return [
        f'{_JSON_HEAD[event.source]}{time}",\n  "receptionTime": "{received}",\n'
        f'  "seqNumber": {event.seq_number}{_JSON_TYPE[event.type]}{message}{_JSON_END[event.severity]}'
        if event.created_by is None and not event.extra and not event.extensions
        else json.encode(json.shown(event, Form.TODAY)).decode()
        for event, time, received, message in zip(
            events,
            texts([event.generation_time or 0 for event in events]),
            texts([event.reception_time or 0 for event in events]),
            messages,
            strict=False,  # behind the last line stands an empty one
        )
    ]


def _text(text: str | None) -> str:
    return msgspec.json.encode(text).decode()


_JSON_HEAD = _Fragments(lambda source: f'{{\n  "source": {_text(source)},\n  "generationTime": "')
_JSON_TYPE = _Fragments(
    lambda kind: ("" if kind is None else f',\n  "type": {_text(kind)}') + ',\n  "message": '
)
# By code: an enumeration's hash is computed in Python, its index is not.
_JSON_END = [f',\n  "severity": "{SHOWN_TODAY[severity]}"\n}}' for severity in SEVERITIES]


def messages(events: Sequence[Event]) -> bytes:
    """Return events as protobuf messages, each with its length before it as a varint.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> messages([event])[1:] == protobuf.encode_event(event, Form.TODAY)
    True
    """
    return "".join(_message_parts(events)).encode("latin-1")


def message_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events as ``ListEventsResponse``.

    >>> message_page([], None)
    b''
    """
    parts = _message_parts(events)
    listed = ["".join([name + part for part in parts]).encode("latin-1") for name in ("\x0a", "\x1a")]
    given = b"" if token is None else protobuf.encode_fields([(2, token.encode())])
    return listed[0] + given + listed[1]


def _message_parts(events: Sequence[Event]) -> list[str]:
    """Return each event as its message with the length before it, as latin-1 text."""
    # Bytes as latin-1 text, because an f-string takes less time than bytes.join.
    small = small_varints()
    tabled = len(small)
    texts = [event.message for event in events]
    if not "".join(texts).isascii():
        texts = [text.encode().decode("latin-1") for text in texts]
    parts = [
        f"{_SOURCE[event.source]}{time}{received}\x20"
        f"{small[number] if 0 <= number < tabled else varint_text(number)}{_TYPE[event.type]}\x32"
        f"{small[len(text)] if len(text) < tabled else varint_text(len(text))}{text}"
        f"{_SEVERITY[event.severity]}"
        if event.created_by is None and not event.extra and not event.extensions
        else protobuf.encode_event(event, Form.TODAY).decode("latin-1")
        for event, time, received, number, text in zip(
            events,
            _GENERATED.fields([event.generation_time or 0 for event in events]),
            _RECEIVED.fields([event.reception_time or 0 for event in events]),
            [event.seq_number or 0 for event in events],
            texts,
            strict=True,
        )
    ]
    lengths = [small[length] if length < tabled else varint_text(length) for length in map(len, parts)]
    return list(map(add, lengths, parts))


def _field(number: int, text: str | None) -> str:
    return "" if text is None else protobuf.encode_fields([(number, text.encode())]).decode("latin-1")


_SOURCE, _TYPE = _Fragments(lambda source: _field(1, source)), _Fragments(lambda kind: _field(5, kind))
_GENERATED, _RECEIVED = Timestamps(2), Timestamps(3)
_SEVERITY = ["\x38" + chr(protobuf.NUMBERS_TODAY[severity]) for severity in SEVERITIES]


def csv_lines(events: Sequence[Event], delimiter: str) -> bytes:
    """Return events as lines of the columns that a Yamcs server exports.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> csv_lines([event], ",") == b"".join(csv.lines([event], csv.PLAIN, ","))
    True
    """
    fields = _CSV[delimiter]
    messages = [event.message for event in events]
    together = "".join(messages)
    if delimiter in together or '"' in together or "\n" in together:
        messages = [csv.field(message, delimiter) for message in messages]
    else:
        messages = [message.strip(csv.BLANKS) for message in messages]
    parts = [
        f"{fields[event.source]}{delimiter}{time}{delimiter}{received}{delimiter}{fields[event.type]}"
        f"{delimiter}{message}\n"
        for event, time, received, message in zip(
            events,
            texts([event.generation_time or 0 for event in events]),
            texts([event.reception_time or 0 for event in events]),
            messages,
            strict=True,
        )
    ]
    return "".join(parts).encode()


def _csv_fragments(delimiter: str) -> _Fragments:
    return _Fragments(lambda text: csv.field(text or "", delimiter))


_CSV = {delimiter: _csv_fragments(delimiter) for delimiter in csv.DELIMITERS.values()}
