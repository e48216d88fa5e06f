"""Events in a Yamcs server's form: each is kept whole, or refused with the name of the field."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.strategies import stored_events
from yamcs_archive import Event, Severity
from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.event import validate
from yamcs_archive.limits import SOURCE_BYTES_MAX
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf import encode_event
from yamcs_archive.wire.yamcs_event import ORIGINAL_SOURCE, ORIGINAL_TYPE, decode_shown

SHOWN_ALIKE = {Severity.ERROR: Severity.SEVERE}  # today's form has no other name for it


def message(**fields: object) -> bytes:
    """Return a message with all required fields, and the given ones."""
    whole = today.Event(**({"source": "S", "seqNumber": 1, "message": "m"} | fields))  # type: ignore[arg-type]
    whole.generationTime.FromMicroseconds(5)
    whole.receptionTime.FromMicroseconds(7)
    return whole.SerializeToString()


@given(stored_events, st.sampled_from([b"", bytes.fromhex("a00601"), bytes.fromhex("a00601aa060141")]))
def test_an_event_that_this_archive_shows_is_read_back_whole(stored: Event, extensions: bytes) -> None:
    event = replace(stored, extensions=extensions)
    found = decode_shown(encode_event(event, Form.TODAY))
    for name in ("message", "source", "type", "generation_time", "seq_number", "created_by", "extensions"):
        assert getattr(found, name) == getattr(event, name)
    assert found.extra == event.extra
    assert found.reception_time == event.reception_time
    assert found.severity == SHOWN_ALIKE.get(event.severity, event.severity)


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        (0, "INFO"),
        (1, "WARNING"),
        (2, "ERROR"),
        (3, "WATCH"),
        (4, "WARNING"),
        (5, "DISTRESS"),
        (6, "CRITICAL"),
    ],
)
def test_each_severity_of_the_wire_has_its_own_here(number: int, severity: str) -> None:
    assert decode_shown(message(severity=number)).severity is Severity[severity]


@given(st.text(max_size=600))
def test_any_source_becomes_a_valid_one_and_the_original_is_kept(source: str) -> None:
    try:
        body = message(source=source)
    except UnicodeEncodeError:
        return  # lone surrogates never come over the wire
    event = decode_shown(body)
    validate(event)
    assert 1 <= len(event.source.encode()) <= SOURCE_BYTES_MAX
    if event.source != source:
        assert event.extra == {ORIGINAL_SOURCE: source}
    assert decode_shown(body) == event


def test_long_sources_that_begin_alike_stay_apart() -> None:
    names = [decode_shown(message(source="é" * 300 + end)).source for end in ("a", "b")]
    assert names[0] != names[1]
    assert all(name.startswith("é" * 100) for name in names)


def test_a_type_with_nul_is_kept_beside() -> None:
    event = decode_shown(message(type="a\0b"))
    assert (event.type, event.extra) == ("a\ufffdb", {ORIGINAL_TYPE: "a\0b"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"\xff", "event"),
        (message() + bytes.fromhex("3209ffffffffffffffffff"), "message"),  # which is not UTF-8
        (message() + bytes.fromhex("6001"), "field 12"),
        (message() + bytes.fromhex("3863"), "field 7"),  # a severity that has no name
        (today.Event(message="m").SerializeToString(), "generationTime"),
    ],
)
def test_a_value_that_cannot_be_kept_whole_is_refused_by_name(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode_shown(body)
    assert caught.value.field == field


def test_a_time_beyond_the_years_is_refused() -> None:
    whole = today.Event.FromString(message())
    whole.generationTime.seconds = 10**12
    with pytest.raises(BadTimeError):
        decode_shown(whole.SerializeToString())
