"""Many stored events at once -> the records of the archive's own files, in JSON, msgpack and CSV; pure.

1. The result is byte for byte that of :mod:`~yamcs_archive.wire.event_by_event`.
2. All work is done by column, as in ``encoder``; for msgpack, msgspec writes objects that C made of columns.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from yamcs_archive.event import SEVERITIES
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.wire import event_csv
from yamcs_archive.wire.columns.byte_columns import (
    BytesColumn,
    Ints,
    Memo,
    bytes_column,
    interleave,
    looked_up,
)
from yamcs_archive.wire.columns.timestamps import format_many

_encode = msgspec.json.encode
_encode_lines = msgspec.json.Encoder().encode_lines
_encode_maps = msgspec.msgpack.encode
_Columns = list[BytesColumn | list[bytes] | bytes]


def encode_json_lines(events: StoredVectors) -> bytes:
    """Return events as lines of JSON.

    >>> from yamcs_archive.event import Event
    >>> from yamcs_archive.wire.columns.byte_columns import vectors_of
    >>> from yamcs_archive.wire import json
    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> encode_json_lines(vectors_of([event])) == json.encode_line(json.sent(event))
    True
    """
    count = events.size
    columns: _Columns = [
        looked_up(_HEAD, events.sources),
        *format_many(events.times),
        b'","receptionTime":"',
        *format_many(events.received),
        b'","seqNumber":',
        _digits(events.numbers),
        looked_up(_TYPE, events.types),
        # A line feed within a text is escaped, so each line is one text.
        _encode_lines(events.messages).split(b"\n")[:count],
        _SEVERITY[events.severities],
    ]
    if events.users.values != [None]:
        columns.append(looked_up(_USER, events.users))
    if events.extra is not None:
        columns.append([b',"extra":' + _encode(extra) if extra else b"" for extra in events.extra])
    if events.extensions is not None:
        columns.append(
            [
                b',"extensions":"' + base64.b64encode(extensions) + b'"' if extensions else b""
                for extensions in events.extensions
            ]
        )
    columns.append(b"}\n")
    return b"".join(interleave(columns, count))


_HEAD = Memo(lambda source: b'{"source":' + _encode(source) + b',"generationTime":"')
_TYPE = Memo(lambda kind: (b"" if kind is None else b',"type":' + _encode(kind)) + b',"message":')
_USER = Memo(lambda user: b"" if user is None else b',"createdBy":' + _encode(user))
_SEVERITY = bytes_column(f',"severity":"{severity.name}"'.encode() for severity in SEVERITIES)


def _digits(numbers: Ints) -> list[bytes]:
    return [b"%d" % number for number in numbers.tolist()]


class _Map(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of an event in a map; those that an event does not have are left out."""

    source: str
    generationTime: str  # noqa: N815  # as the API calls it, as those below
    receptionTime: str  # noqa: N815
    seqNumber: int  # noqa: N815
    message: str
    severity: str
    type: str | None = None
    createdBy: str | None = None  # noqa: N815
    extra: dict[str, str] | None = None
    extensions: bytes | None = None


def encode_msgpack_maps(events: StoredVectors) -> bytes:
    """Return events as maps of msgpack, one after another.

    >>> from yamcs_archive.event import Event
    >>> from yamcs_archive.wire.columns.byte_columns import vectors_of
    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> msgspec.msgpack.decode(encode_msgpack_maps(vectors_of([event])))["generationTime"]
    '1970-01-01T00:00:00Z'
    """
    columns: list[Iterable[Any]] = [
        events.sources.decoded(),
        _texts(events.times),
        _texts(events.received),
        events.numbers.tolist(),
        events.messages,
        _SEVERITY_NAMES[events.severities].tolist(),
    ]
    if events.types.values != [None] or _has_more(events):
        columns.append(events.types.decoded())
    if _has_more(events):
        nothing = [None] * events.size
        columns += [
            events.users.decoded(),
            nothing if events.extra is None else [extra or None for extra in events.extra],
            nothing if events.extensions is None else [more or None for more in events.extensions],
        ]
    whole = _encode_maps(list(map(_Map, *columns)))
    return memoryview(whole)[_array_head_bytes(events.size) :].tobytes()


def _has_more(events: StoredVectors) -> bool:
    return events.users.values != [None] or events.extra is not None or events.extensions is not None


def _texts(times: Ints) -> list[str]:
    parts = [column.tolist() for column in format_many(times)]
    return [b"".join(part).decode() for part in zip(*parts, strict=True)]


def _array_head_bytes(size: int) -> int:
    """Return the bytes that msgpack takes for the length of an array."""
    return 1 if size < 1 << 4 else 3 if size < 1 << 16 else 5


def encode_csv_records(events: StoredVectors) -> bytes:
    """Return events as records of CSV.

    >>> from yamcs_archive.event import Event
    >>> from yamcs_archive.wire.columns.byte_columns import vectors_of
    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> encode_csv_records(vectors_of([event])) == event_csv.record(event)
    True
    """
    messages = events.messages
    if '"' in "".join(messages):
        messages = [message.replace('"', '""') for message in messages]
    columns: _Columns = [
        *format_many(events.times),
        b",",
        *format_many(events.received),
        looked_up(_CSV_SOURCE, events.sources),
        _digits(events.numbers),
        _CSV_SEVERITY[events.severities],
        looked_up(_CSV_TYPE, events.types),
        list(map(str.encode, messages)),
        looked_up(_CSV_USER, events.users),
        b","
        if events.extra is None
        else [event_csv.extra_field(extra).encode() + b"," for extra in events.extra],
    ]
    if events.extensions is not None:
        columns.append([event_csv.extensions_field(more).encode() for more in events.extensions])
    columns.append(event_csv.END)
    return b"".join(interleave(columns, events.size))


_CSV_SOURCE = Memo(lambda source: f",{event_csv.field(source)},".encode())
_CSV_TYPE = Memo(lambda kind: f'{event_csv.field(kind)},"'.encode())
_CSV_USER = Memo(lambda user: f'",{event_csv.field(user)},'.encode())
_CSV_SEVERITY = bytes_column(f",{severity.name},".encode() for severity in SEVERITIES)
_SEVERITY_NAMES = np.array([severity.name for severity in SEVERITIES], object)
