"""Zero, one and few events, and parts of many: by column they are written and read as one by one."""

from __future__ import annotations

import msgpack
import msgspec
import pytest

from tests.sizes import made
from tests.storage.test_few import SIZES, complete, parts_of
from tests.wire.test_batch import READERS, Reader, delimited, elements
from yamcs_archive import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.write.validation import prepare
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire import csv, json, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.batch import from_msgpack, from_ndjson
from yamcs_archive.wire.columns import encoder
from yamcs_archive.wire.columns.byte_columns import rare, vectors_of
from yamcs_archive.wire.columns.timestamps import parse_many
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint


@pytest.mark.parametrize("sources", [1, 2, 300])
@pytest.mark.parametrize("size", SIZES)
def test_a_part_of_many_events_is_written_as_each_of_them(size: int, sources: int) -> None:
    events = complete(size, sources)
    many = StoredVectors.of(prepare(events, int), commit=1)
    for part in parts_of(events):
        left = events[part]
        lines = [json.encode(json.shown(event, Form.TODAY)) for event in left]
        bodies = [protobuf.encode_event(event, Form.TODAY) for event in left]
        for columns in (vectors_of(left), many.take(list(range(size))[part])):
            assert encoder.encode_json_stream(columns) == b"".join(lines)
            assert encoder.encode_protobuf_stream(columns) == b"".join(
                varint(len(body)) + body for body in bodies
            )
            assert encoder.encode_csv_rows(columns, ",") == b"".join(csv.lines(left, csv.PLAIN, ","))
            assert list(rare(columns)) == [(at, event) for at, event in enumerate(left) if event.extra]
        page = msgspec.json.decode(encoder.encode_json_page(left, None))
        assert len(page.get("events", [])) == len(left)
        listed = today.ListEventsResponse.FromString(encoder.encode_protobuf_page(left, "more"))
        assert (len(listed.events), listed.continuationToken) == (len(left), "more")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("size", SIZES)
def test_few_elements_are_read_as_they_were_written(size: int, read: Reader) -> None:
    events = made(size, 300)  # none has more than the common fields
    fields = [
        {
            "message": event.message,
            "source": event.source,
            "severity": event.severity.name,
            "time": format_rfc3339(event.generation_time or 0),
            "sequenceNumber": event.seq_number,
            **({} if event.type is None else {"type": event.type}),
        }
        for event in events
    ]
    if read is from_ndjson:
        body = b"".join(msgspec.json.encode(one) + b"\n" for one in fields)
    elif read is from_msgpack:
        body = b"".join(map(msgpack.packb, fields))
    else:
        body = delimited(map(_message, events))
    for chunks in ([body], [], [b"", body, b""]):
        found = [event for _, event in elements(read(chunks))]
        assert found == (list(events) if chunks else [])


def _message(event: Event) -> bytes:
    request = today.CreateEventRequest(
        message=event.message,
        source=event.source,
        severity=event.severity.name,
        type=event.type,
        sequenceNumber=event.seq_number,
    )
    request.time.FromMicroseconds(event.generation_time or 0)
    return request.SerializeToString()


@pytest.mark.parametrize("size", SIZES)
def test_few_times_are_parsed_together_as_one_by_one(size: int) -> None:
    texts = [format_rfc3339(1_000_001 * n) for n in range(size)]
    found = parse_many(texts)
    assert list(found or []) == [1_000_001 * n for n in range(size)]
