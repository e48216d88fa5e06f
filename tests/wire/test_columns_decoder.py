"""The fast path decodes like the rules, or leaves the decoding to them."""

from __future__ import annotations

from array import array
from datetime import datetime, timedelta
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yamcs_archive import Event, InvalidInputError, Severity
from yamcs_archive.event import SEVERITIES
from yamcs_archive.limits import TIME_MAX_US
from yamcs_archive.times import format_rfc3339, parse_rfc3339
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire import msgpack as msgpack_maps
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.columns import element_decoder, protobuf_decoder, timestamps
from yamcs_archive.wire.pb.yamcs_archive_2016_pb2 import Event as Event2016
from yamcs_archive.wire.pb.yamcs_archive_today_pb2 import CreateEventRequest

texts = st.text(st.characters(codec="utf-8"), max_size=5)
times = st.sampled_from(
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.123456789+02:00",
        "0001-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "2026-01-01T00:00:60.5Z",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01t00:00:00z",
    ]
)
anything = st.none() | st.booleans() | st.integers(-(2**33), 2**33) | st.floats(-5, 5) | texts
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "message": texts | anything,
    "source": texts | anything,
    "severity": st.sampled_from(["INFO", "SEVERE", "warning", "WARNING_NEW", "ERROR", "nope"]) | anything,
    "type": texts | anything,
    "time": times | anything,
    "sequenceNumber": st.integers(-(2**31), 2**31) | st.sampled_from([1.0, "7", 2**31 - 1]) | anything,
    "extra": st.dictionaries(texts, texts | anything, max_size=2) | anything,
    "generationTime": st.integers(0, 9) | times,
    "receptionTime": st.integers(0, 9) | times,
    "seqNumber": st.integers(-(2**31), 2**31) | anything,
    "createdBy": texts | anything,
    "extensions": st.sampled_from(["oAYB", "", "oAY=", "!"]) | anything,
    "instance": texts,
    "other": texts,
}
SHOWN = ("source", "severity", "type", "seqNumber", "createdBy", "extra", "extensions")
shown = st.fixed_dictionaries(
    {"message": texts, "generationTime": times, "receptionTime": times},
    optional={name: FIELDS[name] for name in SHOWN},
)
bodies = (
    st.fixed_dictionaries(
        {"message": texts}, optional={name: value for name, value in FIELDS.items() if name != "message"}
    )
    | st.fixed_dictionaries({}, optional=FIELDS)
    | shown
)


def told(event: Event) -> tuple[Form, Event, bool]:
    """An event of today's form, and whether it is known to come from an answer."""
    return Form.TODAY, event, event.severity is not SEVERITIES[event.severity]


def by_the_rules(decode: Any, element: Any, **options: bool) -> tuple[Form, Event, bool] | None:
    try:
        form, event = decode(element, **options)
    except InvalidInputError:
        return None
    return form, *told(event)[1:]


ANSWER = {"message": "a", "generationTime": "2026-01-01T00:00:00Z", "receptionTime": "2026-01-01T00:00:00Z"}


@given(st.lists(bodies, max_size=3) | st.lists(shown, max_size=3), st.booleans())
@example([{"message": "a", "time": 5}], False)
@example([{"message": "a", "sequenceNumber": 2**31}], False)
@example([ANSWER | {"severity": "SEVERE", "createdBy": "ada", "extensions": "oAYB"}] * 2, False)
@example([ANSWER | {"severity": "ERROR", "createdBy": "ada", "extensions": "CAE="}] * 2, True)
@example([ANSWER | {"receptionTime": "5"}], True)
@example([ANSWER, {"message": "b"}], False)
@example([{"message": "b"}, ANSWER], False)
@example([{"message": "a", "extra": {"a": "b"}, "time": "2026-01-01T00:00:00.5+02:00"}], False)
def test_lines_of_json_are_decoded_as_by_the_rules(several: list[dict[str, Any]], own: bool) -> None:
    lines = [msgspec.json.encode(body) for body in several]
    found = element_decoder.decode_json_lines(b"\n".join(lines), own=own)
    if found is not None:
        assert [told(event) for event in found.events()] == [
            by_the_rules(json.decode_event, line, own=own) for line in lines
        ]


@given(st.binary(max_size=20) | st.text('{}":,message aextrnulltime0 \n', max_size=30).map(str.encode))
@example(b'{"message":"a"} {}')
@example(b'{"message":"a","message":"b"} \n')
@example(b'{"message":"\\ud800"}')
@example(b"")
def test_bytes_that_resemble_json_are_decoded_as_by_the_rules(lines: bytes) -> None:
    found = element_decoder.decode_json_lines(lines)
    if found is not None:
        assert [told(event) for event in found.events()] == [
            by_the_rules(json.decode_event, line) for line in lines.split(b"\n")
        ]


@pytest.mark.parametrize(
    "lines",
    [
        '{"message":"a"}{"message":"b"}',
        '{"message":"a"}{"message":"b"}\n\n{"message":"c"}',
        "",
        "\n",
        '{"message":\n"a"}',
        '\n{"message":"a"}{"message":"b"}',
        '{"message":"a"}{"message":"b"}\n',
    ],
)
def test_lines_with_other_than_one_object_are_decoded_by_the_rules(lines: str) -> None:
    assert not element_decoder.decode_json_lines(lines.encode())


@given(st.lists(bodies | st.lists(texts, max_size=1), max_size=3))
@example([{"message": "a", "time": TIME_MAX_US + 1}])
@example([{"message": "a", "time": 5}, {"message": "a", "time": "2026-01-01T00:00:00Z"}])
@example([{"message": "a", "time": "2026-01-01T00:00:00Z"}, {"message": "a"}])
@example([ANSWER | {"severity": "SEVERE", "createdBy": "ada", "extensions": "oAYB"}] * 2)
@example([ANSWER | {"extensions": b"\xa0\x06\x01"}])
@example([ANSWER | {"generationTime": msgpack.Timestamp(5)}])
@example([{"message": "a", "time": msgpack.Timestamp(5)}])
def test_maps_of_msgpack_are_decoded_as_by_the_rules(several: list[Any]) -> None:
    packed = [msgpack.packb(body) for body in several]
    found = element_decoder.decode_msgpack_maps(b"".join(packed), len(packed))
    if found is not None:
        assert [told(event) for event in found.events()] == [
            by_the_rules(msgpack_maps.event_of, msgpack.unpackb(each)) for each in packed
        ]
    assert element_decoder.decode_msgpack_maps(b"".join(packed), len(packed) + 1) is None


messages = st.builds(
    CreateEventRequest,
    message=st.none() | texts,
    source=st.none() | texts,
    severity=st.none() | st.sampled_from(["INFO", "SEVERE", "warning", "nope"]),
    type=st.none() | texts,
    sequenceNumber=st.none() | st.integers(-(2**31), 2**31 - 1),
    instance=st.none() | texts,
    extra=st.dictionaries(texts, texts, max_size=2),
)
tails = st.sampled_from(
    [b"", b"\x48\x01", b"\x38\xff\xff\xff\xff\xff\xff\x01", b"\x10\x05", b"\x1a\x01\xff", b"\x2a\x02\x10\xff"]
)


stamps = st.tuples(st.integers(-(2**40), 2**40) | st.integers(0, 9), st.integers(-5, 1_000_000_005))


@given(messages, st.none() | stamps, tails)
def test_messages_are_decoded_as_by_the_rules(
    message: CreateEventRequest, time: tuple[int, int] | None, tail: bytes
) -> None:
    if time is not None:
        message.time.seconds, message.time.nanos = time
    for body in (message.SerializeToString() + tail, tail + message.SerializeToString()):
        check_scanned_or_not(body)


@given(st.lists(st.tuples(messages, st.none() | stamps, tails), max_size=4), st.binary(max_size=3))
def test_several_messages_are_decoded_as_by_the_rules(
    parts: list[tuple[Any, Any, bytes]], between: bytes
) -> None:
    bodies = []
    for message, time, tail in parts:
        if time is not None:
            message.time.seconds, message.time.nanos = time
        bodies.append(message.SerializeToString() + tail)
    check_several(bodies, between)


@given(st.lists(st.binary(max_size=12), max_size=3), st.binary(max_size=3))
@example([b"\x1a\x00", b"\x1a\x80\x00"], b"")
@example([b"\x1a\x00\x2a\x00"], b"")
@example([b"\x1a\x00\x2a\x02\x08\x05"], b"")
@example([b"\x1a\x00\x2a\x02\x08\x80"], b"\x01")
@example([b"\x1a\x01"], b"aaa")
@example([b"\x1a\x00\x38\xff\xff\xff\xff\x07", b"\x1a\x00\x38\xff\xff\xff\xff\x08"], b"")
@example([b"\x1a\x00\x38\xff\xff\xff\xff"], b"\x07")
@example([b"\x1a\x00\x32"], b"\x00")
@example([b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"], b"")
@example([b"\x1a\x00\x22\x05INFO\x00"], b"")
@example([b"\x1a\x00\x22\x04INFO", b"\x1a\x00\x22\x01\x00"], b"")
def test_several_bodies_that_resemble_messages_are_decoded_as_by_the_rules(
    bodies: list[bytes], between: bytes
) -> None:
    check_several(bodies, between)


def check_several(bodies: list[bytes], between: bytes) -> None:
    starts, stops, held = [], [], between
    for body in bodies:
        starts.append(len(held))
        stops.append(len(held) + len(body))
        held += body + between
    found = protobuf_decoder.decode_protobuf_messages(held, starts, stops)
    if found is not None:
        assert [told(event) for event in found.events()] == [
            by_the_rules(protobuf.decode_event, body) for body in bodies
        ]


@given(st.binary(max_size=20))
def test_bytes_that_resemble_a_message_are_decoded_as_by_the_rules(body: bytes) -> None:
    check_scanned_or_not(body)


def check_scanned_or_not(body: bytes) -> None:
    """Check that a message that is not scanned, because its bytes hide nothing, is what scanning finds."""

    def outcome() -> tuple[Form, Event, bool] | str:
        try:
            form, event = protobuf.decode_event(body)
            return form, *told(event)[1:]
        except InvalidInputError as error:
            return str(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protobuf, "_plain_request", lambda _: None)
        scanned = outcome()
    assert outcome() == scanned


def test_the_2016_message_is_left_to_the_rules() -> None:
    body = Event2016(
        source="S", generationTime=1, receptionTime=2, seqNumber=3, message="a"
    ).SerializeToString()
    assert protobuf_decoder.decode_protobuf_messages(body, [0], [len(body)]) is None


@pytest.mark.parametrize("count", [1, 1000])
def test_the_commonest_elements_are_taken(count: int) -> None:
    fields = {"message": "a", "source": "S", "severity": "WATCH", "sequenceNumber": 1, "type": "T"}
    timed = fields | {"time": "2026-01-01T00:00:00.5Z"}
    expected = Event("a", "S", Severity.WATCH, "T", 1767225600500000, 1)
    lines = element_decoder.decode_json_lines(b"\n".join([msgspec.json.encode(timed)] * count))
    packed = msgpack.packb(fields | {"time": 1767225600500000})
    maps = element_decoder.decode_msgpack_maps(packed * count, count)
    message = CreateEventRequest(message="a", source="S", severity="WATCH", sequenceNumber=1, type="T")
    message.time.FromMicroseconds(1767225600500000)
    body = message.SerializeToString()
    starts = range(0, count * len(body), len(body))
    stops = [start + len(body) for start in starts]
    messages = protobuf_decoder.decode_protobuf_messages(body * count, starts, stops)
    for found in (lines, maps, messages):
        assert found is not None
        assert found.events() == [expected] * count
    assert protobuf.decode_event(body) == (Form.TODAY, expected)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("count", [1, 1000])
def test_the_commonest_answers_are_taken(count: int, own: bool) -> None:
    event = Event(
        "a",
        "S",
        Severity.SEVERE,
        "T",
        generation_time=1_500_000,
        seq_number=1,
        reception_time=2_000_001,
        created_by="ada" if own else None,
        extensions=b"\xa0\x06\x01",
        extra={"k": "v"},
    )
    fields = json.shown(event, Form.TODAY) | {"createdBy": "ada"}
    lines = element_decoder.decode_json_lines(b"\n".join([msgspec.json.encode(fields)] * count), own=own)
    maps = element_decoder.decode_msgpack_maps(msgpack.packb(fields) * count, count, own=own)
    for found in (lines, maps):
        assert found is not None
        assert [told(each) for each in found.events()] == [(Form.TODAY, event, True)] * count


several_times = st.lists(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z")
    | times
    | st.from_regex(r"[09][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-9]{2}:[0-6][0-9](\.[0-9]{1,7})?Z?"),
    max_size=4,
)


@given(several_times)
@example(["2024-02-29T23:59:60.1Z", "1900-02-29T00:00:00Z"])
@example(["2023-02-29T00:00:00Z"])
@example(["2000-02-29T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z"])
@example(["2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Z"])
@example(["2026-01-01T24:00:00Z"])
@example(["2026-00-01T00:00:00Z"])
@example(["2026-01-00T00:00:00Z"])
@example(["0000-01-01T00:00:00Z"])
@example(["9999-12-31T23:59:60Z"])
@example(["2026-01-01T00:00:00\N{FULLWIDTH DIGIT ONE}Z"])
def test_times_are_parsed_as_by_the_rules(several: list[str]) -> None:
    found = timestamps.parse_many(several)
    if found is not None:
        assert found.tolist() == [parse_rfc3339(text) for text in several]


@given(st.lists(st.datetimes(), min_size=1, max_size=4))
@example([datetime(2024, 2, 29), datetime.min, datetime.max, datetime(1970, 1, 1, microsecond=5000)])
def test_times_as_serializers_write_them_are_taken(several: list[datetime]) -> None:
    instants = [(moment - datetime(1970, 1, 1)) // timedelta(microseconds=1) for moment in several]
    texts = [format_rfc3339(instant) for instant in instants]
    assert timestamps.parse_many(texts) == array("q", instants)
