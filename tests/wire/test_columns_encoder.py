"""Many events are encoded by column to the same bytes as one by one."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import CASES
from tests.strategies import many, stored_events, times
from yamcs_archive import Event
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire import csv, event_by_event, event_csv, json, msgpack, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.columns import encoder, file_encoder
from yamcs_archive.wire.columns.byte_columns import vectors_of
from yamcs_archive.wire.columns.timestamps import TimestampField, format_many
from yamcs_archive.wire.columns.varints import varint_bytes, varints
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint

TABLES = [event for case in CASES for event in [case.event]]
plain_events = st.builds(
    Event,
    message=st.sampled_from(
        ["a", "", 'a"', '"', ",", "\t", " a ", "\n", "\r", "\x1f", " ", "é\0", "x" * 200]
    ),
    source=st.sampled_from(["S", "a,b", '"', " "]),
    type=st.sampled_from([None, "", "T", "a;b"]),
    severity=stored_events.map(lambda event: event.severity),
    generation_time=times,
    reception_time=times,
    seq_number=stored_events.map(lambda event: event.seq_number)
    | st.sampled_from([127, 128, 16383, 16384, 2**29 - 1, 2**29, 2**30, 61_035 << 14, 61_036 << 14]),
)
lists = st.lists(stored_events | plain_events, max_size=8) | many(stored_events | plain_events)


WRITERS = (encoder, event_by_event)


@given(lists)
def test_json_of_many_is_json_of_each(events: list[Event]) -> None:
    for some in (events, TABLES):
        each = b"".join(json.encode(json.shown(event, Form.TODAY)) for event in some)
        assert [write.encode_json_stream(vectors_of(some)) for write in WRITERS] == [each, each]


@given(lists)
def test_protobuf_of_many_is_protobuf_of_each(events: list[Event]) -> None:
    for some in (events, TABLES):
        messages = [protobuf.encode_event(event, Form.TODAY) for event in some]
        each = b"".join(varint(len(message)) + message for message in messages)
        assert [write.encode_protobuf_stream(vectors_of(some)) for write in WRITERS] == [each, each]


@given(lists)
def test_records_of_files_of_many_are_those_of_each(events: list[Event]) -> None:
    for some in (events, TABLES):
        vectors = vectors_of(some)
        for write in (file_encoder, event_by_event):
            assert write.encode_json_lines(vectors) == b"".join(
                json.encode_line(json.sent(event)) for event in some
            )
            assert write.encode_msgpack_maps(vectors) == b"".join(map(msgpack.encode_map, some))
            assert write.encode_csv_records(vectors) == b"".join(map(event_csv.record, some))


@given(lists, st.none() | st.just("token-1"))
def test_pages_have_each_event_twice_and_a_token(events: list[Event], token: str | None) -> None:
    for some in (events, TABLES):
        shown = [json.shown(event, Form.TODAY) for event in some]
        document = {"event": shown} if shown else {}
        document |= {"continuationToken": token} if token else {}  # type: ignore[dict-item]  # text
        document |= {"events": shown} if shown else {}
        page = json.encode(document)
        assert [write.encode_json_page(some, token) for write in WRITERS] == [page, page]
        messages = [protobuf.encode_event(event, Form.TODAY) for event in some]
        page = protobuf.encode_fields([(1, message) for message in messages])
        page += protobuf.encode_fields([(2, token.encode())] if token else [])
        page += protobuf.encode_fields([(3, message) for message in messages])
        assert [write.encode_protobuf_page(some, token) for write in WRITERS] == [page, page]


@given(lists, st.sampled_from("\t,;"))
def test_csv_of_many_is_csv_of_each(events: list[Event], delimiter: str) -> None:
    each = b"".join(csv.lines(events, csv.PLAIN, delimiter))
    assert [write.encode_csv_rows(vectors_of(events), delimiter) for write in WRITERS] == [each, each]


def texts_of(instants: list[int]) -> list[str]:
    columns = format_many(np.array(instants, np.int64))
    return [b"".join(parts).decode() for parts in zip(*columns, strict=True)]


def timestamps_of(number: int, instants: list[int]) -> list[bytes]:
    columns, lengths = TimestampField(number).format_many(np.array(instants, np.int64))
    fields = [b"".join(parts) for parts in zip(*columns, strict=True)]
    assert list(map(len, fields)) == lengths.tolist()
    return fields


@given(st.lists(times, max_size=6))
def test_instants_of_many_are_instants_of_each(instants: list[int]) -> None:
    assert texts_of(instants) == [format_rfc3339(instant) for instant in instants]
    fields = timestamps_of(2, instants)
    assert [today.Event.FromString(field).generationTime.ToMicroseconds() for field in fields] == instants
    for field, instant in zip(fields, instants, strict=True):
        message = today.Event()
        message.generationTime.FromMicroseconds(instant)
        assert field == message.SerializeToString()


def test_every_millisecond_and_every_length_of_nanoseconds() -> None:
    whole = list(range(0, 1_000_000, 1000))
    epoch = datetime(1970, 1, 1)
    for instants in (whole, [*whole, 1, 16, 17, 2097, 2098, 268_435, 268_436, 999_999]):
        fields = timestamps_of(3, instants)
        for instant, text, field in zip(instants, texts_of(instants), fields, strict=True):
            assert datetime.fromisoformat(text[:-1]) == epoch + timedelta(microseconds=instant)
            message = today.Event()
            message.receptionTime.FromMicroseconds(instant)
            assert field == message.SerializeToString()


def test_times_of_more_seconds_than_the_cache_holds_are_right() -> None:
    instants = [second * 1_000_000 for second in range(10_000)]
    assert texts_of(instants) == [format_rfc3339(instant) for instant in instants]
    assert len({*timestamps_of(2, instants)}) == len(instants)


SMALL, LARGE = st.integers(0, (1 << 14) - 1), st.integers(0, 63).map(lambda bits: (1 << bits) - 1)
ANY = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(SMALL, max_size=6) | st.lists(SMALL | LARGE, max_size=6) | st.lists(ANY | LARGE, max_size=6))
def test_varints_of_many_are_varints_of_each(values: list[int]) -> None:
    expected = [varint(value & (2**64 - 1)) for value in values]
    for often in (1, 20):  # a few are made in another way than many
        column = np.array(values * often, np.int64)
        assert varint_bytes(column).tolist() == list(map(len, expected)) * often
        assert varints(column) == expected * often


@given(st.lists(st.integers(0, (1 << 56) - 1), min_size=1, max_size=6), st.integers(0, 56))
def test_varints_up_to_every_length_of_a_word(values: list[int], bits: int) -> None:
    column = [*values, *(1 << bits & (1 << 56) - 1, (1 << bits) - 1) * 20]
    assert varints(np.array(column, np.int64)) == list(map(varint, column))


@given(lists.filter(bool))
def test_many_equal_events_are_written_as_often(events: list[Event]) -> None:
    many = vectors_of(events * 20)
    assert encoder.encode_protobuf_stream(many) == encoder.encode_protobuf_stream(vectors_of(events)) * 20
    assert encoder.encode_json_stream(many) == encoder.encode_json_stream(vectors_of(events)) * 20
    assert encoder.encode_csv_rows(many, ",") == encoder.encode_csv_rows(vectors_of(events), ",") * 20
