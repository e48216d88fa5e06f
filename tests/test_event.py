"""The event model: order, equality, and every rule, whose error names the field and the value."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from tests.strategies import keys, stored_events
from yamcs_archive import ArchiveError, ConflictError, Event, EventKey, InvalidInputError, Severity
from yamcs_archive import errors as error_module
from yamcs_archive.errors import BadTimeError, OutcomeUnknownError
from yamcs_archive.event import AS_SHOWN, same_content, validate
from yamcs_archive.limits import (
    ATTACHED_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SOURCE_BYTES_MAX,
    TIME_MAX_US,
    TIME_MIN_US,
)

Broken: Any = Event  # the type checker would refuse most of these
BROKEN: list[tuple[Any, str, str]] = [
    (Broken(message=None), "message", "None"),
    (Broken(message=b"bytes"), "message", "b'bytes'"),
    (Broken("x" * (MESSAGE_BYTES_MAX + 1)), "message", str(MESSAGE_BYTES_MAX)),
    (Broken("é" * (MESSAGE_BYTES_MAX // 2 + 1)), "message", "at most"),
    (Broken("\ud800"), "message", "surrogate"),
    (Broken("a", source="x" * (SOURCE_BYTES_MAX + 1)), "source", "at most 255"),
    (Broken("a", source="é" * 128), "source", "has 256"),
    (Broken("a", source="A\0B"), "source", "NUL"),
    (Broken("a", source="\udfff"), "source", "surrogate"),
    (Broken("a", source=None), "source", "None"),
    (Broken("a", type="A\0B"), "type", "NUL"),
    (Broken("a", type=5), "type", "5"),
    (Broken("a", severity="LOUD"), "severity", "CRITICAL"),
    (Broken("a", severity=7), "severity", "CRITICAL"),
    (Broken("a", severity=-1), "severity", "CRITICAL"),
    (Broken("a", severity=True), "severity", "True"),
    (Broken("a", severity=2.0), "severity", "2.0"),
    (Broken("a", seq_number=2**31), "seq_number", "2147483648"),
    (Broken("a", seq_number=-(2**31) - 1), "seq_number", "-2147483649"),
    (Broken("a", seq_number=1.0), "seq_number", "1.0"),
    (Broken("a", seq_number=True), "seq_number", "True"),
    (Broken("a", generation_time=TIME_MIN_US - 1), "generation_time", str(TIME_MIN_US)),
    (Broken("a", generation_time=TIME_MAX_US + 1), "generation_time", str(TIME_MAX_US)),
    (Broken("a", generation_time=2**63), "generation_time", str(2**63)),
    (Broken("a", generation_time=0.5), "generation_time", "0.5"),
    (Broken("a", generation_time=datetime.now(UTC)), "generation_time", "int"),
    (Broken("a", reception_time=TIME_MAX_US + 1), "reception_time", str(TIME_MAX_US)),
    (Broken("a", created_by="\ud800"), "created_by", "surrogate"),
    (Broken("a", created_by=1), "created_by", "1"),
    (Broken("a", extensions="text"), "extensions", "bytes"),
    (Broken("a", extra={"a": 1}), "extra.a", "1"),
    (Broken("a", extra={1: "a"}), "extra", "1"),
    (Broken("a", extra={"a": "\ud800"}), "extra.a", "surrogate"),
    (Broken("a", extra=[("a", "b")]), "extra", "dict"),
    (Broken("a", extra=None), "extra", "dict"),
    (Broken("a", extensions=bytes(ATTACHED_BYTES_MAX + 1)), "extensions", "at most"),
    (Broken("a", type="t" * 200_000, extra={"a": "b" * 100_000}), "extra", "together"),
    ("no event", "event", "must be an Event"),
]


@pytest.mark.parametrize(("event", "field", "said"), BROKEN, ids=lambda value: str(value)[:40])
def test_the_error_of_a_broken_rule_names_field_and_value(event: Event, field: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        validate(event)
    assert field in caught.value.field
    assert said in str(caught.value)


def test_a_severity_as_text_is_its_name_and_as_a_number_its_value() -> None:
    for severity in Severity:
        for shown in (severity, AS_SHOWN[severity], pickle.loads(pickle.dumps(severity))):
            assert f"{shown}" == str(shown) == "%s" % shown == f"{shown:s}" == severity.name  # noqa: UP031
            assert f"{shown:>9}" == severity.name.rjust(9)
            assert f"{shown:d}" == "%d" % shown == f"{severity.value}"  # noqa: UP031
            assert f"{shown:04x}" == f"{severity.value:04x}"
            assert json.dumps(shown) == json.dumps(severity.value)


def test_a_severity_is_found_by_name_in_any_case_and_by_number() -> None:
    called: Any = Severity  # for type checkers a call takes the number alone
    for severity in Severity:
        for name in (severity.name, severity.name.lower(), severity.name.title()):
            assert Severity[name] is called(name) is severity
        assert Severity(severity.value) is severity
    assert Severity["warning_new"] is Severity.WARNING
    for wrong in ("", "warn", "2", "\u0131nfo", None, b"INFO"):
        with pytest.raises(KeyError):
            Severity[wrong]  # type: ignore[misc]  # some are no text
        with pytest.raises(ValueError, match="not a valid Severity"):
            called(wrong)


def test_a_time_beyond_the_range_is_a_time_error() -> None:
    with pytest.raises(BadTimeError):
        validate(Event("a", generation_time=TIME_MAX_US + 1))


@given(stored_events)
def test_every_legal_event_passes(event: Event) -> None:
    assert validate(event) >= len(event.message)


@pytest.mark.parametrize(
    "event",
    [
        Event("", source="x" * SOURCE_BYTES_MAX),
        Event("\0", created_by="a\0b", extra={"\0": "\0"}),
        Event("x" * MESSAGE_BYTES_MAX, type=""),
        Event("a", extensions=bytes(ATTACHED_BYTES_MAX)),
        Event("a", source=""),  # becomes User
        Event("a", generation_time=TIME_MIN_US, reception_time=TIME_MAX_US),
    ],
    ids=repr,
)
def test_the_edge_of_a_rule_is_inside(event: Event) -> None:
    validate(event)


@given(stored_events)
def test_events_pickle_copy_and_hash(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event
    assert copy.deepcopy(event) == event
    assert len({event, copy.copy(event)}) == 1


@given(keys, keys)
def test_keys_order_by_time_then_source_bytes_then_number(one: EventKey, other: EventKey) -> None:
    def parts(key: EventKey) -> tuple[int, bytes, int]:
        return key.generation_time, key.source.encode(), key.seq_number

    assert (one < other) == (parts(one) < parts(other))


def test_severities_are_ordered_by_rank_and_error_ranks_with_severe() -> None:
    ranks = [severity.rank for severity in Severity]
    assert ranks == [0, 1, 2, 3, 4, 5, 5]
    for one in Severity:
        for other in Severity:
            assert (one < other, one <= other) == (one.rank < other.rank, one.rank <= other.rank)
            assert (one > other, one >= other) == (one.rank > other.rank, one.rank >= other.rank)
            assert (one == other) == (one is other)


@pytest.mark.parametrize(
    "name", ["info", "Watch", "WARNING", "distress", "CRITICAL", "severe", "error", "warning_new"]
)
def test_severity_names_are_read_in_any_case(name: str) -> None:
    assert Severity.parse(name).name == name.upper().removesuffix("_NEW")


@pytest.mark.parametrize("name", ["", "FOO", "ınfo", "INFO ", "0"])  # a dotless i upper-cases to I
def test_an_unknown_severity_lists_the_choices(name: str) -> None:
    with pytest.raises(InvalidInputError, match="INFO, WATCH, WARNING, DISTRESS, CRITICAL, SEVERE, ERROR"):
        Severity.parse(name)


def test_user_and_reception_time_do_not_matter_for_a_retry() -> None:
    event = Event("a", extra={"a": "1", "b": "2"}, reception_time=1, created_by="one")
    assert same_content(event, Event("a", extra={"b": "2", "a": "1"}, reception_time=2, created_by="two"))
    for other in (
        Event("b"),
        Event("a", type=""),
        Event("a", severity=Severity.ERROR),
        Event("a", extensions=b"x"),
        Event("a", extra={"a": "1"}),
    ):
        assert not same_content(event, other)


def test_an_event_at_a_time_takes_every_form() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert (
        Event.at(moment, "a").generation_time
        == Event.at("2026-01-01T00:00:00Z", "a").generation_time
        == Event.at(1_767_225_600_000_000, "a").generation_time
    )
    assert Event.at(moment, "a", source="S", seq_number=3).time == moment


def test_every_error_pickles_with_its_facts() -> None:
    conflict = ConflictError(
        Event("a", generation_time=0, seq_number=0), Event("b", generation_time=0, seq_number=0)
    )
    for error in (
        conflict,
        InvalidInputError("limit", 0, "rule"),
        OutcomeUnknownError((Event("a"),), "reason"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)


def test_the_drawn_tree_of_errors_is_the_real_one() -> None:
    drawn = {
        word
        for line in (error_module.__doc__ or "").splitlines()
        if (word := line.strip(" │├└─").split(" ")[0]).endswith("Error")
    }
    real = {
        name
        for name, value in vars(error_module).items()
        if isinstance(value, type) and issubclass(value, ArchiveError)
    }
    assert drawn == real
