"""Events to bytes and back, in JSON and protobuf, in both forms."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.cases import CASES, EXTENSIONS, EXTENSIONS_BASE64, Case
from tests.strategies import stored_events
from yamcs_archive import Event, InvalidInputError, Severity
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.api_generations import SHOWN_2016, Form, severity_2016
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import scan, varint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_event_shows_in_both_forms_of_json(case: Case) -> None:
    assert json.shown(case.event, Form.V2016) == case.json_2016
    assert json.shown(case.event, Form.TODAY) == case.json_today


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_event_shows_in_both_forms_of_protobuf(case: Case) -> None:
    old, new = v2016.Event(), today.Event()
    old.ParseFromString(protobuf.encode_event(case.event, Form.V2016))
    new.ParseFromString(protobuf.encode_event(case.event, Form.TODAY))
    assert old.IsInitialized()
    assert (old.source, old.message, old.seqNumber) == (
        case.event.source,
        case.event.message,
        case.event.seq_number,
    )
    assert (old.generationTime, old.receptionTime) == (
        case.json_2016["generationTime"],
        case.json_2016["receptionTime"],
    )
    assert (old.generationTimeUTC, old.receptionTimeUTC) == (
        case.json_2016["generationTimeUTC"],
        case.json_2016["receptionTimeUTC"],
    )
    assert v2016.Event.EventSeverity.Name(old.severity) == case.json_2016["severity"]
    assert today.Event.EventSeverity.Name(new.severity) == case.json_today["severity"]
    assert new.generationTime.ToMicroseconds() == case.event.generation_time
    assert new.receptionTime.ToMicroseconds() == case.event.reception_time
    assert dict(new.extra) == case.event.extra
    for message in (old, new):
        assert (message.type if message.HasField("type") else None) == case.event.type
    for form in Form:
        raw = protobuf.encode_event(case.event, form)
        kept = b"".join(raw[field.start : field.stop] for field in scan(raw) if 100 <= field.number <= 10_000)
        assert kept == case.event.extensions


@given(stored_events)
def test_a_2016_answer_sent_again_is_the_same_event(event: Event) -> None:
    grain = replace(
        event,
        generation_time=event.key.generation_time // 1000 * 1000,
        reception_time=(event.reception_time or 0) // 1000 * 1000,
        severity=severity_2016(SHOWN_2016[event.severity]),
        created_by=None,
        extensions=EXTENSIONS,
        extra={},
    )
    assert json.decode_event(json.encode(json.shown(grain, Form.V2016))) == (Form.V2016, grain)
    assert protobuf.decode_event(protobuf.encode_event(grain, Form.V2016)) == (Form.V2016, grain)


@given(stored_events)
def test_todays_request_keeps_every_field(event: Event) -> None:
    sent = replace(event, reception_time=None, created_by=None, extensions=b"")
    message = today.CreateEventRequest(
        message=event.message,
        source=event.source,
        severity=event.severity.name,
        type=event.type,
        sequenceNumber=event.seq_number,
        extra=event.extra,
    )
    message.time.FromMicroseconds(event.key.generation_time)
    assert protobuf.decode_event(message.SerializeToString()) == (Form.TODAY, sent)
    fields: dict[str, Any] = {
        "message": event.message,
        "source": event.source,
        "severity": event.severity.name,
        "time": format_rfc3339(event.key.generation_time),
        "sequenceNumber": event.seq_number,
        "extra": event.extra,
    }
    if event.type is not None:
        fields["type"] = event.type
    assert json.decode_event(msgspec.json.encode(fields)) == (Form.TODAY, sent)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"generationTime": 5}, {"generation_time": 5000}),
        ({"generationTime": "5"}, {"generation_time": 5000}),
        ({"generationTime": "-5", "receptionTime": -6}, {"generation_time": -5000, "reception_time": -6000}),
        ({"generationTime": 0, "receptionTime": "0"}, {"generation_time": 0, "reception_time": 0}),
        ({"seqNumber": -3}, {"seq_number": -3}),
        ({"seqNumber": "12"}, {"seq_number": 12}),
        ({"seqNumber": 1e3}, {"seq_number": 1000}),
        ({"sequenceNumber": 1.0}, {"seq_number": 1}),
        ({"sequenceNumber": "1e3"}, {"seq_number": 1000}),
        ({"seqNumber": 1, "severity": None}, {"seq_number": 1}),
        ({"seqNumber": 1, "severity": "Error"}, {"seq_number": 1, "severity": Severity.ERROR}),
        ({"seqNumber": 1, "severity": 1}, {"seq_number": 1, "severity": Severity.WARNING}),
        ({"severity": "error"}, {"severity": Severity.ERROR}),
        ({"severity": "Warning_New"}, {"severity": Severity.WARNING}),
        ({"generationTimeUTC": "1970-01-01T00:00:01Z"}, {"generation_time": 1_000_000}),
        ({"generationTime": 1, "generationTimeUTC": "1970-01-01T00:00:00.001Z"}, {"generation_time": 1000}),
        ({"receptionTime": -1, "receptionTimeUTC": "1969-12-31T23:59:59.999Z"}, {"reception_time": -1000}),
        ({"extensions": EXTENSIONS_BASE64}, {"extensions": EXTENSIONS}),
        ({"time": "2026-01-01T02:00:00+02:00"}, {"generation_time": 1_767_225_600_000_000}),
        ({"source": 5, "type": True}, {"source": "5", "type": "true"}),
        ({"extra": {"a": 1, "b": False}}, {"extra": {"a": "1", "b": "false"}}),
        ({"extra": None, "time": None, "source": None, "type": None}, {"source": ""}),
        ({"instance": "elsewhere"}, {}),
    ],
    ids=str,
)
def test_json_values_are_read_leniently(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    _, event = json.decode_event(msgspec.json.encode({"message": "m", **fields}))
    assert event == Event("m", **({"source": ""} | expected))


BAD_JSON: tuple[tuple[bytes, str, str], ...] = (
    (b"", "body", "empty"),
    (b"   ", "body", "not JSON"),
    (b"{", "body", "not JSON"),
    (b"<message>x</message>", "body", "<message>"),
    (b"{'message': 'a'}", "body", "not JSON"),
    (b'{"message": "a"} x', "body", "not JSON"),
    (b'{"message": "a",}', "body", "not JSON"),
    (b'{"message": "a" /* b */}', "body", "not JSON"),
    (b'{"message": NaN}', "body", "not JSON"),
    (b"\xef\xbb\xbf", "body", "empty"),
    (b'\xef\xbb\xbf\xef\xbb\xbf{"message": "a"}', "body", "not JSON"),
    (b'{"message": "\xff"}', "body", "not UTF-8 at byte 13"),
    (b"[]", "body", "must be a JSON object"),
    (b'"text"', "body", "must be a JSON object"),
    (b"null", "body", "must be a JSON object"),
    (b"5", "body", "5"),
    (b"[" * 100_000, "body", "nested"),
    (b"{}", "message", "Message is required"),
    (b'{"message": null}', "message", "Message is required"),
    (b'{"source": "S", "generationTime": 0}', "message", "Message is required"),
    (b'{"message": ["a"]}', "message", "['a']"),
    (b'{"message": "\\ud800"}', "message", "lone surrogate"),
    (b'{"message": "a", "source": "\\udfff x"}', "source", "lone surrogate"),
    (b'{"message": "a", "extra": {"k": "\\ud83d"}}', "extra.k", "lone surrogate"),
    (b'{"message": "a", "sequence_number": 1}', "sequence_number", "not a field"),
    (b'{"message": "a", "createdBy": "me"}', "createdBy", "not a field"),
    (b'{"message": "a", "seqNumber": 1, "time": "1970-01-01T00:00:00Z"}', "body", "seqNumber, time"),
    (b'{"message": "a", "generationTime": 0, "extra": {}}', "body", "generationTime, extra"),
    (b'{"message": "a", "seqNumber": 2147483648}', "seqNumber", "2147483648"),
    (b'{"message": "a", "sequenceNumber": -2147483649}', "sequenceNumber", "-2147483649"),
    (b'{"message": "a", "sequenceNumber": 99999999999999999999999}', "sequenceNumber", "9999"),
    (b'{"message": "a", "sequenceNumber": 1.5}', "sequenceNumber", "1.5"),
    (b'{"message": "a", "sequenceNumber": "x"}', "sequenceNumber", "'x'"),
    (b'{"message": "a", "sequenceNumber": true}', "sequenceNumber", "True"),
    (b'{"message": "a", "sequenceNumber": 1e400}', "sequenceNumber", "1.8e308"),
    (b'{"message": "a", "extra": {"k": -1e400}}', "extra.k", "1.8e308"),
    (b'{"message": "a", "extra": {"k": [1, 1e999]}}', "extra.k[1]", "1.8e308"),
    (b"1e400", "body", "1.8e308"),
    (b'{"message": "a", "generationTime": 1.0}', "generationTime", "1.0"),
    (b'{"message": "a", "generationTime": "1.0"}', "generationTime", "'1.0'"),
    (b'{"message": "a", "generationTime": 1e3}', "generationTime", "1000.0"),
    (b'{"message": "a", "generationTime": "x"}', "generationTime", "'x'"),
    (b'{"message": "a", "generationTime": true}', "generationTime", "True"),
    (b'{"message": "a", "generationTime": 9223372036854775807}', "generationTime", "9223372036854775807"),
    (b'{"message": "a", "generationTime": 253402300800000}', "generationTime", "253402300800000"),
    (b'{"message": "a", "receptionTime": -62135596800001}', "receptionTime", "-62135596800001"),
    (b'{"message": "a", "receptionTime": "99999999999999999999999999"}', "receptionTime", "9999"),
    (b'{"message": "a", "generationTimeUTC": "yesterday"}', "generationTimeUTC", "'yesterday'"),
    (
        b'{"message": "a", "generationTime": 5, "generationTimeUTC": "1970-01-01T00:00:00Z"}',
        "generationTimeUTC",
        "another instant",
    ),
    (
        b'{"message": "a", "receptionTime": 5, "receptionTimeUTC": "1970-01-01T00:00:00.006Z"}',
        "receptionTimeUTC",
        "another instant",
    ),
    (b'{"message": "a", "time": "2026-02-30T00:00:00Z"}', "time", "2026-02-30"),
    (b'{"message": "a", "time": "2026-01-01T25:00:00Z"}', "time", "25:00"),
    (b'{"message": "a", "time": 0}', "time", "0"),
    (b'{"message": "a", "time": ""}', "time", "''"),
    (b'{"message": "a", "severity": "FOO"}', "severity", "INFO, WATCH, WARNING, DISTRESS, CRITICAL, SEVERE"),
    (b'{"message": "a", "severity": ""}', "severity", "INFO, WATCH"),
    (b'{"message": "a", "severity": 3}', "severity", "'3'"),
    (b'{"message": "a", "seqNumber": 1, "severity": "WATCH"}', "severity", "INFO, WARNING, ERROR"),
    (b'{"message": "a", "seqNumber": 1, "severity": 3}', "severity", "3"),
    (b'{"message": "a", "seqNumber": 1, "severity": -1}', "severity", "-1"),
    (b'{"message": "a", "extra": ["a"]}', "extra", "['a']"),
    (b'{"message": "a", "extra": {"a": {"b": "c"}}}', "extra.a", "'b'"),
    (b'{"message": "a", "extra": {"a": null}}', "extra.a", "None"),
    (b'{"message": "a", "extensions": "not base64!"}', "extensions", "base64"),
    (b'{"message": "a", "extensions": "CAE="}', "extensions", "field 1"),
    (b'{"message": "a", "extensions": "oAY="}', "body", "truncated"),
)


@pytest.mark.parametrize(("body", "field", "said"), BAD_JSON, ids=lambda value: str(value)[:60])
def test_bad_json_names_the_field_and_the_value(body: bytes, field: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        json.decode_event(body)
    assert caught.value.field == field
    assert said in str(caught.value)


def whole_2016(**changes: Any) -> v2016.Event:
    fields = {
        "source": "S",
        "generationTime": 1,
        "receptionTime": 2,
        "seqNumber": 3,
        "message": "m",
        **changes,
    }
    return v2016.Event(**{name: value for name, value in fields.items() if value is not None})


@pytest.mark.parametrize("name", ["source", "generationTime", "receptionTime", "seqNumber", "message"])
def test_2016_protobuf_without_a_required_field_names_it(name: str) -> None:
    body = whole_2016(**{name: None}).SerializePartialToString()
    with pytest.raises(InvalidInputError, match="is required") as caught:
        protobuf.decode_event(body)
    assert caught.value.field == name


def test_without_both_times_a_message_is_in_todays_form_and_refused_there() -> None:
    body = whole_2016(generationTime=None, receptionTime=None).SerializePartialToString()
    with pytest.raises(InvalidInputError, match="severity"):
        protobuf.decode_event(body)


BAD_PROTOBUF: tuple[tuple[bytes, str, str], ...] = (
    (b"", "body", "empty"),
    (whole_2016().SerializeToString()[:-1], "body", "truncated"),
    (today.CreateEventRequest(message="abc").SerializeToString()[:-1], "body", "truncated"),
    (b'{"message": "ct"}', "body", "protobuf"),
    (b"\xff" * 30, "body", "protobuf"),
    (b"\x00\x01", "body", "protobuf"),
    (b"\x0c", "body", "protobuf"),
    (b"\x0b" * 300, "body", "protobuf"),
    (whole_2016().SerializeToString() + b"\x38\x03", "severity", "3"),
    (whole_2016().SerializeToString() + b"\x38" + varint(2**64 - 1), "severity", "-1"),
    (whole_2016().SerializeToString() + b"\x20" + varint(2**31), "seqNumber", "2147483648"),
    (whole_2016().SerializeToString() + b"\x50\x01", "field 10", "not a field"),
    (whole_2016().SerializeToString() + varint(10_001 << 3) + b"\x01", "field 10001", "not a field"),
    (whole_2016().SerializeToString() + varint(99 << 3) + b"\x01", "field 99", "not a field"),
    (whole_2016().SerializeToString() + b"\x0d\x00\x00\x00\x00", "source", "wire type 5"),
    (whole_2016(generationTime=2**62).SerializeToString(), "generationTime", str(2**62)),
    (whole_2016(receptionTime=-(2**62)).SerializeToString(), "receptionTime", str(-(2**62))),
    (
        whole_2016(generationTimeUTC="1970-01-01T00:00:00Z").SerializeToString(),
        "generationTimeUTC",
        "another",
    ),
    (whole_2016(receptionTimeUTC="x").SerializeToString(), "receptionTimeUTC", "'x'"),
    (whole_2016().SerializeToString() + b"\x2a\x01\xff", "type", "UTF-8"),
    (today.CreateEventRequest(source="S").SerializeToString(), "message", "Message is required"),
    (today.CreateEventRequest(message="m", severity="FOO").SerializeToString(), "severity", "INFO, WATCH"),
    (today.CreateEventRequest(message="m").SerializeToString() + b"\x48\x01", "field 9", "not a field"),
    (
        today.CreateEventRequest(message="m").SerializeToString() + varint(100 << 3) + b"\x01",
        "field 100",
        "not",
    ),
    (
        today.CreateEventRequest(message="m").SerializeToString() + b"\x38" + varint(2**31),
        "sequenceNumber",
        "2147",
    ),
    (b"\x1a\x01\xff", "message", "UTF-8"),
    (b"\x1a\x01a\x42\x06\x0a\x01\xff\x12\x01a", "extra", "UTF-8"),
    (b"\x1a\x01a\x2a\x02\x08\xff", "body", "parse"),
    (b"\x1a\x01a\x2a\x06\x10" + varint(1_000_000_000), "time", "nanos"),
    (b"\x1a\x01a\x2a\x0a\x08" + varint(2**62), "time", "years"),
    (b"\x1a\x01a\x2a\x0b\x08" + varint(2**64 - 2**61), "time", "years"),
)


@pytest.mark.parametrize(("body", "field", "said"), BAD_PROTOBUF, ids=lambda value: str(value)[:60])
def test_bad_protobuf_names_the_field_and_the_value(body: bytes, field: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        protobuf.decode_event(body)
    assert caught.value.field == field
    assert said in str(caught.value)


GROUP = varint(200 << 3 | 3) + b"\x08\x01" + varint(200 << 3 | 4)


@pytest.mark.parametrize(
    "extensions", [EXTENSIONS, GROUP, GROUP + EXTENSIONS, varint(10_000 << 3 | 5) + bytes(4)]
)
def test_extensions_are_kept_byte_for_byte_at_any_position(extensions: bytes) -> None:
    body = whole_2016(type="T").SerializeToString()
    middle = next(field.stop for field in scan(body) if field.number == 3)
    for mixed in (extensions + body, body + extensions, body[:middle] + extensions + body[middle:]):
        form, event = protobuf.decode_event(mixed)
        assert (form, event.extensions, event.type) == (Form.V2016, extensions, "T")
        assert protobuf.encode_event(replace(event, seq_number=3), Form.V2016).endswith(extensions)


@pytest.mark.parametrize("depth", [10, 500, 900, 2000, 5000, 9000, 20_000, 100_000])
@pytest.mark.parametrize(
    "body", [b'{"message": "m", "extra": %s}', b'{"message": %s}', b'{"nested": %s}', b"%s"]
)
def test_nesting_of_any_depth_is_an_error_of_the_request(body: bytes, depth: int) -> None:
    # The depth limit differs between interpreters; a body within the limit is no event either.
    for nested in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth):
        with pytest.raises(InvalidInputError):
            json.decode_event(body % nested)


@given(st.binary(max_size=60))
def test_no_bytes_at_all_make_a_decoder_fail_otherwise_than_it_says(body: bytes) -> None:
    for decode in (json.decode_event, protobuf.decode_event):
        try:
            form, event = decode(body)
        except InvalidInputError:
            continue
        assert isinstance(form, Form)
        assert isinstance(event.message, str)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
    ),
    st.sampled_from(
        [
            "message",
            "time",
            "seqNumber",
            "sequenceNumber",
            "generationTime",
            "severity",
            "extra",
            "extensions",
        ]
    ),
)
def test_no_json_value_makes_a_field_fail_otherwise_than_it_says(value: Any, field: str) -> None:
    try:
        json.event_of({"message": "m", field: value})
    except InvalidInputError as error:
        assert error.field.startswith((field, "body", "message"))


def test_the_base64_of_the_table_is_right() -> None:
    assert base64.b64encode(EXTENSIONS).decode() == EXTENSIONS_BASE64
