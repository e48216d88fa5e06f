"""Events in the form of answers can be read again, in each medium, alone and among thousands."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.cases import CASES, EXTENSIONS, Case
from tests.strategies import stored_events
from tests.wire.test_batch import delimited, elements, pieces
from yamcs_archive import Event, InvalidInputError, Severity
from yamcs_archive.errors import BadTimeError
from yamcs_archive.event import AS_SHOWN, SEVERITIES
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.wire import batch, json, protobuf
from yamcs_archive.wire import msgpack as msgpack_maps
from yamcs_archive.wire.api_generations import SHOWN_TODAY, Form
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint

PIECE_BYTES = 256 << 10
"""Bytes of a stream that are decoded together."""


def read_again(event: Event, *, own: bool = False) -> Event:
    """The event that is read from an answer with this event."""
    return replace(
        event,
        severity=Severity[SHOWN_TODAY[event.severity]],
        created_by=event.created_by if own else None,
    )


def is_shown(event: Event) -> bool:
    """Whether an event's severity says that it may have been ERROR or SEVERE."""
    return event.severity is not SEVERITIES[event.severity] or event.severity.rank < Severity.SEVERE.rank


@given(stored_events)
def test_an_answer_of_any_event_is_read_as_that_event(event: Event) -> None:
    event = replace(event, extensions=EXTENSIONS if event.extensions else b"")
    shown = json.shown(event, Form.TODAY)
    line, packed = msgspec.json.encode(shown), msgpack.packb(shown)
    message = protobuf.encode_event(event, Form.TODAY)
    several = [
        json.decode_event(line),
        json.decode_event(json.encode(shown)),
        msgpack_maps.event_of(shown),
        msgpack_maps.event_of({**shown, "extensions": event.extensions}),
        protobuf.decode_event(message),
        *elements(batch.from_ndjson([line + b"\n" + line])),
        *elements(batch.from_msgpack([packed + packed])),
        *elements(batch.from_protobuf([delimited([message, message])])),
    ]
    assert [(form, each) for form, each in several] == [(Form.TODAY, read_again(event))] * 11
    assert all(is_shown(each) for _, each in several)


@given(stored_events)
def test_an_archive_s_own_answer_keeps_the_creator_and_all_extensions(event: Event) -> None:
    shown = json.shown(event, Form.TODAY)
    line, packed = msgspec.json.encode(shown), msgpack.packb(shown)
    assert [each for _, each in elements(batch.from_ndjson([line], own=True))] == [
        read_again(event, own=True)
    ]
    assert [each for _, each in elements(batch.from_msgpack([packed], own=True))] == [
        read_again(event, own=True)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_answers_of_the_table_are_read(case: Case) -> None:
    assert json.event_of(case.json_today) == (Form.TODAY, read_again(case.event))


@pytest.mark.parametrize("size", [7, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 1 << 20])
def test_thousands_of_answers_are_read_in_pieces_of_any_size(size: int) -> None:
    """A few of them are unusual: their pieces are decoded by the rules, the others by the fast path."""
    events = [
        Event(
            f"m{n}" * 20,
            source=f"S{n % 3}",
            severity=SEVERITIES[n % 7],
            generation_time=n * 1001,
            seq_number=n,
            reception_time=n,
            created_by="ada" if n % 2 else None,
            extensions=EXTENSIONS if n % 5 == 0 else b"",
            extra={"k": str(n)} if n % 3 else {},
        )
        for n in range(4000 if size > 7 else 50)
    ]
    several = [json.shown(event, Form.TODAY) for event in events]
    several[1] |= {"seqNumber": "1"}
    several[-2] |= {"severity": several[-2]["severity"].lower()}
    lines = b"\n".join(map(msgspec.json.encode, several))
    packed = b"".join(map(msgpack.packb, several))
    messages = delimited(protobuf.encode_event(event, Form.TODAY) for event in events)
    expected = [(Form.TODAY, read_again(event)) for event in events]
    for read, body in (
        (batch.from_ndjson, lines),
        (batch.from_msgpack, packed),
        (batch.from_protobuf, messages),
    ):
        found = list(elements(read(pieces(body, size))))
        assert found == expected
        assert all(is_shown(event) for _, event in found)


NOON = "2026-01-01T12:00:00Z"
ANSWER: dict[str, Any] = {"message": "a", "generationTime": NOON}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"generationTime": None, "receptionTime": NOON}, {"generation_time": None, "reception_time": 1}),
        ({"receptionTime": "1970-01-01T00:00:01+00:00"}, {"reception_time": 1_000_000}),
        ({"seqNumber": "12", "type": 5, "source": None}, {"seq_number": 12, "type": "5"}),
        ({"seqNumber": 1e3}, {"seq_number": 1000}),
        ({"severity": "distress"}, {"severity": Severity.DISTRESS}),
        ({"severity": "ERROR"}, {"severity": Severity.ERROR}),
        ({"severity": "WARNING_NEW"}, {"severity": Severity.WARNING}),
        ({"createdBy": "ada", "extra": None, "extensions": None}, {}),
        ({"extensions": "oAYB"}, {"extensions": b"\xa0\x06\x01"}),
        ({"extra": {"a": 1}}, {"extra": {"a": "1"}}),
    ],
    ids=str,
)
def test_values_of_answers_are_read_leniently(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    noon = 1_767_268_800_000_000
    if "reception_time" in expected and expected["reception_time"] == 1:
        expected = expected | {"reception_time": noon}
    form, event = json.decode_event(msgspec.json.encode(ANSWER | fields))
    wanted: dict[str, Any] = {"source": "", "generation_time": noon} | expected
    assert (form, event) == (Form.TODAY, Event("a", **wanted))


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"time": NOON}, "body", "generationTime, time"),
        ({"sequenceNumber": 1}, "body", "generationTime, sequenceNumber"),
        ({"instance": "sim"}, "body", "generationTime, instance"),
        ({"generationTimeUTC": NOON}, "body", "generationTime, generationTimeUTC"),
        ({"receptionTime": 0}, "receptionTime", "RFC 3339"),
        ({"receptionTime": "0"}, "receptionTime", "RFC 3339"),
        ({"generationTime": 0, "receptionTime": NOON}, "generationTime", "RFC 3339"),
        ({"generationTime": "noon"}, "generationTime", "'noon'"),
        ({"generationTime": ""}, "generationTime", "RFC 3339"),
        ({"generationTime": "2026-02-30T00:00:00Z"}, "generationTime", "2026-02-30"),
        ({"seqNumber": 2**31}, "seqNumber", "2147483648"),
        ({"severity": "FOO"}, "severity", "INFO, WATCH"),
        ({"createdBy": ["ada"]}, "createdBy", "must be text"),
        ({"extensions": "CAE="}, "extensions", "field 1"),
        ({"extensions": "!"}, "extensions", "base64"),
        ({"message": None}, "message", "required"),
        ({"events": []}, "events", "not a field of an event in any form"),
    ],
    ids=str,
)
def test_a_bad_answer_names_the_field_and_the_value(fields: dict[str, Any], field: str, said: str) -> None:
    decoders: tuple[Callable[[], Any], ...] = (
        lambda: json.decode_event(msgspec.json.encode(ANSWER | fields)),
        lambda: msgpack_maps.event_of(ANSWER | fields),
    )
    for decode in decoders:
        with pytest.raises(InvalidInputError) as caught:
            decode()
        assert caught.value.field == field
        assert said in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"generationTime": 5, "seqNumber": 1},
        {"generationTime": "5", "seqNumber": 1},
        {"generationTime": "-5", "receptionTime": "6"},
        {"generationTime": 5, "generationTimeUTC": "1970-01-01T00:00:00.005Z"},
    ],
    ids=str,
)
def test_integers_stay_milliseconds_of_2016(fields: dict[str, Any]) -> None:
    form, event = json.decode_event(msgspec.json.encode({"message": "a", **fields}))
    assert (form, abs(event.generation_time or 0)) == (Form.V2016, 5000)


def test_the_error_for_fields_of_an_answer_without_a_time_names_the_time() -> None:
    with pytest.raises(InvalidInputError, match="generationTime as text"):
        json.event_of({"message": "a", "createdBy": "ada"})


# Protobuf


def an_event(**fields: Any) -> today.Event:
    found = today.Event(source="S", seqNumber=3, message="a", **fields)
    found.generationTime.FromMicroseconds(1)
    return found


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (an_event().SerializeToString() + b"\x48\x01", "field 9", "today's Event"),
        (an_event().SerializeToString() + b"\x12\x02\x48\x01", "generationTime.field 9", "not a field"),
        (an_event().SerializeToString() + b"\x1a\x02\x48\x01", "receptionTime.field 9", "not a field"),
        (an_event().SerializeToString() + b"\x12\x02\x0a\x00", "generationTime.seconds", "wire type"),
        (an_event().SerializeToString() + b"\x5a\x02\x18\x01", "extra.field 3", "not a field"),
        (an_event().SerializeToString() + b"\x38\x08", "severity", "0 (INFO), 1 (WARNING)"),
        (an_event().SerializeToString() + b"\x20" + varint(2**31), "seqNumber", "2147483648"),
        (an_event().SerializeToString() + b"\x52\x01\xff", "createdBy", "UTF-8"),
        (an_event().SerializeToString() + b"\x12\x06\x10" + varint(10**9), "generationTime", "nanos"),
        (an_event().SerializeToString()[:-3], "message", "required"),
    ],
    ids=lambda value: str(value)[-30:],
)
def test_a_bad_message_names_the_field(body: bytes, field: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        protobuf.decode_event(body)
    assert caught.value.field == field
    assert said in str(caught.value)


@given(st.binary(max_size=20), st.binary(max_size=6))
def test_bytes_around_a_message_make_nothing_fail_otherwise_than_it_says(before: bytes, after: bytes) -> None:
    with suppress(InvalidInputError):
        protobuf.decode_event(before + an_event().SerializeToString() + after)


# Times of msgpack


def stamp(seconds: int, nanos: int, bits: int) -> bytes:
    """A Timestamp encoded by its specification, without the package's own code."""
    if bits == 32:
        return b"\xd6\xff" + struct.pack(">I", seconds)
    if bits == 64:
        return b"\xd7\xff" + struct.pack(">Q", nanos << 34 | seconds)
    return b"\xc7\x0c\xff" + struct.pack(">Iq", nanos, seconds)


def packed(**fields: Any) -> bytes:
    """A msgpack map; values that are bytes are packed already."""
    parts = [
        msgpack.packb(name) + (value if isinstance(value, bytes) else msgpack.packb(value))
        for name, value in fields.items()
    ]
    return bytes([0x80 | len(fields)]) + b"".join(parts)


nanoseconds = st.integers(0, 999_999_999) | st.sampled_from([0, 999, 1000, 1999, 999_999_999])
of_each_size = (
    st.tuples(st.integers(0, 2**32 - 1), st.just(0), st.just(32))
    | st.tuples(st.integers(0, 2**34 - 1), nanoseconds, st.just(64))
    | st.tuples(st.integers(TIME_MIN_US // 1_000_000, TIME_MAX_US // 1_000_000), nanoseconds, st.just(96))
)


@given(of_each_size, st.booleans())
@example((-1, 999, 96), False)
@example((TIME_MIN_US // 1_000_000, 0, 96), True)
@example((TIME_MAX_US // 1_000_000, 999_999_999, 96), True)
def test_timestamps_are_taken_wherever_there_is_a_time(given_as: tuple[int, int, int], twice: bool) -> None:
    """Floored to microseconds, before 1970 too."""
    instant = given_as[0] * 1_000_000 + given_as[1] // 1000
    raw = stamp(*given_as)
    bodies = [
        packed(message="a", time=raw),
        packed(message="a", generationTime=raw, receptionTime=raw, seqNumber=1, severity="SEVERE"),
        packed(message="a", generationTime=NOON, receptionTime=raw),
        packed(message="a", generationTimeUTC=raw, receptionTimeUTC=raw),
    ]
    found = list(elements(batch.from_msgpack([b"".join(bodies * (1 + twice))])))[:4]
    assert [form for form, _ in found] == [Form.TODAY, Form.TODAY, Form.TODAY, Form.V2016]
    assert [event.generation_time for _, event in found[:2]] == [instant, instant]
    assert [event.reception_time for _, event in found] == [None, instant, instant, instant]
    assert found[1][1].severity is AS_SHOWN[Severity.SEVERE]


@pytest.mark.parametrize("field", ["time", "generationTime", "receptionTime", "generationTimeUTC"])
@pytest.mark.parametrize(
    "raw",
    [
        b"\xc7\x05\xff" + bytes(5),
        b"\xc7\x00\xff",
        b"\xd7\xff" + b"\xff" * 8,
        stamp(0, 10**9, 96),
        stamp(TIME_MAX_US // 1_000_000 + 1, 0, 96),
        stamp(TIME_MIN_US // 1_000_000 - 1, 999_999_999, 96),
        stamp(2**63 - 1, 0, 96),
        b"\xd4\x05\x00",
    ],
    ids=bytes.hex,
)
def test_a_bad_timestamp_names_its_field_and_its_position(field: str, raw: bytes) -> None:
    good = packed(message="a", time=stamp(5, 0, 32))
    found = elements(batch.from_msgpack([good * 3 + packed(message="b", **{field: raw})]))
    assert [next(found)[1].generation_time for _ in range(3)] == [5_000_000] * 3
    with pytest.raises(InvalidInputError) as caught:
        next(found)
    assert (caught.value.field, caught.value.position) == (field, 3)


def test_a_timestamp_is_no_text() -> None:
    for fields in ({"message": stamp(1, 0, 32)}, {"message": "a", "source": stamp(1, 0, 32)}):
        with pytest.raises(InvalidInputError, match="must be text"):
            list(batch.from_msgpack([packed(**fields)]))


# The 2016 form, as errors show it


@given(stored_events)
def test_a_2016_event_that_is_shown_exactly_has_its_key_when_it_comes_back(event: Event) -> None:
    event = replace(event, extensions=EXTENSIONS if event.extensions else b"")
    for _, found in (
        json.event_of(json.shown(event, Form.V2016, exact=True)),
        protobuf.decode_event(protobuf.encode_event(event, Form.V2016, exact=True)),
    ):
        assert (found.key, found.reception_time) == (event.key, event.reception_time)


def test_a_time_beyond_is_a_bad_time() -> None:
    with pytest.raises(BadTimeError):
        json.event_of(ANSWER | {"generationTime": "9999-12-31T23:59:59-01:00"})


# A byte order mark

BOM = b"\xef\xbb\xbf"


def test_a_byte_order_mark_is_passed_over() -> None:
    line = b'{"message": "a"}'
    assert json.decode_event(BOM + line) == json.decode_event(line)
    stream = BOM + line + b"\n" + line + b"\n"
    for body in (stream, stream + stream, BOM, BOM + b"\n", b""):
        for size in (1, 2, 3, 4, 1000):
            found = [event.message for _, event in elements(batch.from_ndjson(pieces(body, size)))]
            assert found == ["a"] * body.count(line)
