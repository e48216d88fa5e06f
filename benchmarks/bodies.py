"""Encodes events as request bodies in today's form, as a client would; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgpack
import msgspec

from yamcs_archive import Event
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.pb.yamcs_archive_today_pb2 import CreateEventRequest

MEDIA_TYPES = {
    "json": "application/json",
    "protobuf": "application/protobuf",
    "ndjson": "application/x-ndjson",
    "msgpack": "application/x-msgpack",
    "rows": "application/protobuf",
}


def json_body(event: Event) -> bytes:
    """Return the JSON of one create request.

    >>> json_body(Event("a", "AOCS", generation_time=0, seq_number=7))
    b'{"message":"a","source":"AOCS","severity":"INFO","sequenceNumber":7,"time":"1970-01-01T00:00:00Z"}'
    """
    return msgspec.json.encode(_fields(event) | {"time": format_rfc3339(event.generation_time or 0)})


def protobuf_body(event: Event) -> bytes:
    """Return the protobuf message of one create request.

    >>> CreateEventRequest.FromString(protobuf_body(Event("a", generation_time=0, seq_number=7))).message
    'a'
    """
    request = CreateEventRequest(**_fields(event))
    request.time.FromMicroseconds(event.generation_time or 0)
    return request.SerializeToString()


def batch_body(events: Iterable[Event], encoding: str) -> bytes:
    """Return many create requests as one body: ndjson, varint-delimited protobuf or a msgpack stream.

    >>> batch_body([Event("a", generation_time=0, seq_number=0)], "ndjson").count(b"\\n")
    1
    """
    return b"".join(map(_ELEMENTS[encoding], events))


def _fields(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "message": event.message,
        "source": event.source,
        "severity": event.severity.name,
    }
    if event.type is not None:
        fields["type"] = event.type
    if event.seq_number is not None:
        fields["sequenceNumber"] = event.seq_number
    return fields


def _delimited(event: Event) -> bytes:
    body = protobuf_body(event)
    return varint(len(body)) + body


def _packed(event: Event) -> bytes:
    return bytes(msgpack.packb(_fields(event) | {"time": event.generation_time or 0}))


def varint(number: int) -> bytes:
    """Return a non-negative number as a protobuf varint.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


_ELEMENTS: dict[str, Callable[[Event], bytes]] = {
    "ndjson": lambda event: json_body(event) + b"\n",
    "protobuf": _delimited,
    "msgpack": _packed,
}
SINGLE: dict[str, Callable[[Event], bytes]] = {"json": json_body, "protobuf": protobuf_body}
"""The body of one create request, by encoding."""
