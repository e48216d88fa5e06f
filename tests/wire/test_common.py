"""What is decoded in C is what the rules make of it, or is left to them."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yamcs_archive import Event, InvalidInputError, Severity
from yamcs_archive.wire import common, json, protobuf
from yamcs_archive.wire.forms import Form
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
    "generationTime": st.integers(0, 9),
    "instance": texts,
    "other": texts,
}
bodies = st.fixed_dictionaries(
    {"message": texts}, optional={name: value for name, value in FIELDS.items() if name != "message"}
) | st.fixed_dictionaries({}, optional=FIELDS)


def by_the_rules(decode: Any, element: Any) -> tuple[Form, Event] | None:
    try:
        found: tuple[Form, Event] = decode(element)
    except InvalidInputError:
        return None
    return found


@given(st.lists(bodies, max_size=3))
@example([{"message": "a", "time": 5}])
@example([{"message": "a", "sequenceNumber": 2**31}])
def test_lines_of_json(several: list[dict[str, Any]]) -> None:
    lines = [msgspec.json.encode(body) for body in several]
    found = common.of_lines(b"\n".join(lines))
    if found is not None:
        assert [(Form.TODAY, event) for event in found] == [
            by_the_rules(json.decode_event, line) for line in lines
        ]


@pytest.mark.parametrize(
    "lines",
    [
        '{"message":"a"}{"message":"b"}',
        '{"message":"a"}{"message":"b"}\n\n{"message":"c"}',
        "",
        "\n",
        '{"message":\n"a"}',
    ],
)
def test_what_is_not_one_object_a_line_is_left_to_the_rules(lines: str) -> None:
    assert not common.of_lines(lines.encode())


@given(bodies)
def test_maps_of_msgpack(body: dict[str, Any]) -> None:
    fields = msgpack.unpackb(msgpack.packb(body))
    found = common.of_map(fields)
    if found is not None:
        assert (Form.TODAY, found) == by_the_rules(json.event_of_msgpack, fields)


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


@given(messages, st.none() | st.tuples(st.integers(-(2**40), 2**40), st.integers(-5, 1_000_000_005)), tails)
def test_messages(message: CreateEventRequest, time: tuple[int, int] | None, tail: bytes) -> None:
    if time is not None:
        message.time.seconds, message.time.nanos = time
    for body in (message.SerializeToString() + tail, tail + message.SerializeToString()):
        found = common.of_message(body)
        if found is not None:
            assert (Form.TODAY, found) == by_the_rules(protobuf.decode_event, body)


@given(st.binary(max_size=20))
def test_bytes_that_are_hardly_a_message(body: bytes) -> None:
    found = common.of_message(body)
    if found is not None:
        assert (Form.TODAY, found) == by_the_rules(protobuf.decode_event, body)


def test_the_2016_message_is_left_to_the_rules() -> None:
    body = Event2016(
        source="S", generationTime=1, receptionTime=2, seqNumber=3, message="a"
    ).SerializeToString()
    assert common.of_message(body) is None


@pytest.mark.parametrize("count", [1, 1000])
def test_the_commonest_elements_are_taken(count: int) -> None:
    fields = {"message": "a", "source": "S", "severity": "WATCH", "sequenceNumber": 1, "type": "T"}
    timed = fields | {"time": "2026-01-01T00:00:00.5Z"}
    expected = Event("a", "S", Severity.WATCH, "T", 1767225600500000, 1)
    assert common.of_lines(b"\n".join([msgspec.json.encode(timed)] * count)) == [expected] * count
    assert common.of_map(fields | {"time": 1767225600500000}) == expected
    message = CreateEventRequest(message="a", source="S", severity="WATCH", sequenceNumber=1, type="T")
    message.time.FromMicroseconds(1767225600500000)
    assert common.of_message(message.SerializeToString()) == expected
