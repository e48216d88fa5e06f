"""Many events <-> bytes, one event after another by the rules of ``json``, ``protobuf`` and ``csv``; pure.

Where the folder ``columns`` is missing, :mod:`~yamcs_archive.wire.bulk` offers these functions. Tests compare
the fast path with them.
"""

from __future__ import annotations

from collections.abc import Sequence

from yamcs_archive.event import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.wire import csv, event_csv, json, msgpack, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.protobuf_scan import varint


def _decline(*_elements: object, **_options: object) -> None:
    """Decode nothing: what is declined is decoded element by element."""


decode_json_lines = decode_msgpack_maps = decode_protobuf_messages = parse_many = _decline


def encode_json_stream(events: StoredVectors) -> bytes:
    """Return events as JSON objects, with nothing between them."""
    return b"".join(json.encode(json.shown(event, Form.TODAY)) for event in events.events())


def encode_protobuf_stream(events: StoredVectors) -> bytes:
    """Return events as protobuf messages, each with its length before it as a varint."""
    messages = [protobuf.encode_event(event, Form.TODAY) for event in events.events()]
    return b"".join(varint(len(message)) + message for message in messages)


def encode_csv_rows(events: StoredVectors, delimiter: str) -> bytes:
    """Return events as rows with the columns that a Yamcs server exports."""
    return b"".join(csv.lines(events.events(), csv.PLAIN, delimiter))


def encode_json_lines(events: StoredVectors) -> bytes:
    """Return events as lines of JSON that lose nothing."""
    return b"".join(json.encode_line(json.sent(event)) for event in events.events())


def encode_msgpack_maps(events: StoredVectors) -> bytes:
    """Return events as maps of msgpack that lose nothing, one after another."""
    return b"".join(map(msgpack.encode_map, events.events()))


def encode_csv_records(events: StoredVectors) -> bytes:
    """Return events as records of CSV that lose nothing."""
    return b"".join(map(event_csv.record, events.events()))


def encode_json_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events as JSON, each under its new name and under its old one.

    >>> encode_json_page([], "t")
    b'{\\n  "continuationToken": "t"\\n}'
    """
    shown = [json.shown(event, Form.TODAY) for event in events]
    page = {"event": shown, "continuationToken": token, "events": shown}
    return json.encode({name: value for name, value in page.items() if value})


def encode_protobuf_page(events: Sequence[Event], token: str | None) -> bytes:
    """Return a page of events as ``ListEventsResponse``, each under its new name and under its old one."""
    messages = [protobuf.encode_event(event, Form.TODAY) for event in events]
    given = [] if token is None else [(2, token.encode())]
    return protobuf.encode_fields(
        [*((1, message) for message in messages), *given, *((3, message) for message in messages)]
    )
