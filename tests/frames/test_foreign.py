"""Tables from elsewhere: other layouts of the same values are taken; what does not fit is named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from yamcs_archive import Event, Instance, InvalidInputError, Severity
from yamcs_archive.frames.events import PART_EVENTS, columns_from

AT = datetime(2026, 1, 1, tzinfo=UTC)
AT_US = 1_767_225_600_000_000


def read(extra_columns: tuple[str, ...] = (), **columns: Any) -> list[Event]:
    found = {"time": pa.array([0]), "message": pa.array(["Wheel"])} | columns
    size = len(found["message"])
    table = pa.table(
        {
            name: column if len(column) == size else pa.repeat(column[0], size)
            for name, column in found.items()
        }
    )
    return [event for part in columns_from(table, extra_columns) for event in part.events()]


def refused(**columns: Any) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        read(**columns)
    return caught.value


TEXTS = ["AOCS", "", None, "é" * 20]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([2, 1, 0, 3], pa.uint8()), ["", "", "AOCS", "é" * 20])
        .take(pa.array([0, 1, None, 3])),
        pa.DictionaryArray.from_arrays(pa.array([1, 2, 0, 3]), [None, "AOCS", "", "é" * 20]),
        pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
    ],
    ids=lambda column: str(column.type),
)  # fmt: skip
def test_text_in_any_layout(column: Any) -> None:
    messages = pa.array(["a", "b", "c", "d"])
    found = read(message=messages, type=column, source=column, created_by=column)
    assert [event.type for event in found] == TEXTS
    assert [event.created_by for event in found] == TEXTS
    assert [event.source for event in found] == ["AOCS", "", "User", "é" * 20]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "+02:00", "Europe/Berlin"])
def test_times_in_any_unit_and_zone(unit: str, zone: str) -> None:
    column = pa.array([AT], pa.timestamp(unit, zone))
    assert read(time=column)[0].generation_time == AT_US
    both = read(reception_time=pa.array([None], pa.timestamp(unit, zone)), time=column)
    assert both[0].reception_time is None


def test_finer_times_are_cut_off_also_before_1970() -> None:
    column = pa.array([-1, 1_999, -1_000], pa.timestamp("ns", "UTC"))
    found = read(message=pa.array(["a", "b", "c"]), time=column)
    assert [event.generation_time for event in found] == [-1, 1, -1]
    with_null = pa.array([-1, None], pa.timestamp("ns", "UTC"))
    assert [
        event.reception_time for event in read(message=pa.array(["a", "b"]), reception_time=with_null)
    ] == [-1, None]


def test_times_as_text_and_as_numbers() -> None:
    texts = pa.array(["2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02:00"])
    both = pa.array(["a", "b"])
    assert [event.generation_time for event in read(message=both, time=texts)] == [AT_US] * 2
    for kind in (pa.int64(), pa.int32(), pa.uint64()):
        assert read(time=pa.array([7], kind))[0].generation_time == 7


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["warning", "ERROR", None, "Severe"]),
        pa.array(["WARNING_NEW", "error", "info", "SEVERE"]).dictionary_encode(),
        pa.array([2, 6, None, 5], pa.int8()),
        pa.array([2, 6, 0, 5]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(
            pa.array([0, 1, 2, 3]), ["warning", "error", "info", "severe", "unused"]
        ),
    ],
)
def test_severities_by_name_and_number(column: Any) -> None:
    found = read(message=pa.array(["a", "b", "c", "d"]), severity=column)
    assert [event.severity for event in found] == [
        Severity.WARNING,
        Severity.ERROR,
        Severity.INFO,
        Severity.SEVERE,
    ]


def test_a_level_counts_only_without_a_severity() -> None:
    assert read(level=pa.array([5]))[0].severity is Severity.SEVERE
    assert read(level=pa.array([5]), severity=pa.array(["info"]))[0].severity is Severity.INFO
    assert str(refused(level=pa.array([6]))) == "level 6: must be 0 to 5, or a name"


PAIRS: list[dict[str, str]] = [{"a": "1", "b": ""}, {}, {"a": "2"}]
LISTS = [[{"key": key, "value": value} for key, value in pairs.items()] for pairs in PAIRS]
PAIR_OF = pa.map_(pa.string(), pa.string())
PAIR = pa.struct([("key", pa.string()), ("value", pa.string())])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([list(pairs.items()) for pairs in PAIRS], pa.map_(pa.string(), pa.string())),
        pa.array([list(PAIRS[0].items()), None, [("a", "2")]], pa.map_(pa.large_string(), pa.string_view())),
        pa.array(LISTS, pa.list_(PAIR)),
        pa.array(LISTS, pa.large_list(PAIR)),
        pa.array(PAIRS, pa.struct([("a", pa.string()), ("b", pa.string())])),
        pa.array(['{"a": "1", "b": ""}', "", '{"a":"2"}']),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_extra_in_any_layout(column: Any) -> None:
    messages = pa.array(["a", "b", "c"])
    assert [event.extra for event in read(message=messages, extra=column)] == PAIRS
    assert [event.extra for event in read(message=messages[1:], extra=column[1:])] == PAIRS[1:]


def test_what_is_missing_or_null_has_its_default(sim: Instance) -> None:
    nothing = {
        name: pa.nulls(1)
        for name in (
            "source",
            "severity",
            "type",
            "seq_number",
            "reception_time",
            "created_by",
            "extensions",
            "extra",
        )
    }
    assert read(**nothing) == read() == [Event("Wheel", generation_time=0)]
    assert sim.append_columns(columns_from(pa.table({"time": [0, 0], "message": ["a", "b"]}))).stored == 2
    assert [event.seq_number for event in sim.events()] == [0, 1]


def test_columns_that_become_extra() -> None:
    both = pa.array(["a", "b"])
    extra = pa.array([[("torque", "1")], []], pa.map_(pa.string(), pa.string()))
    found = read(
        ("torque", "unit"),
        message=both,
        torque=pa.array(["1", None]),
        unit=pa.array(["Nm", "N"]),
        extra=extra,
    )
    assert [event.extra for event in found] == [{"torque": "1", "unit": "Nm"}, {"unit": "N"}]
    with pytest.raises(InvalidInputError, match="torque '2': is '1' in the column extra"):
        read(("torque",), message=both, torque=pa.array(["2", None]), extra=extra)
    with pytest.raises(InvalidInputError, match="column 'unit': is missing; there are time, message"):
        read(("unit",))


@pytest.mark.parametrize(
    ("column", "said", "row"),
    [
        ({"mesage": pa.array(["a"])}, "column 'mesage': is none of an event: did you mean 'message'?", None),
        ({"torque": pa.array([1])}, "Rename it, leave it out, or name it in extra_columns", None),
        ({"message": pa.array(["a", None])}, "message None: must be text", 1),
        ({"message": pa.array([1])}, "message 'int64': must be text", None),
        ({"message": pa.array([b"a"])}, "message 'binary': must be text", None),
        ({"time": pa.array([AT.replace(tzinfo=None)])}, "time 'timestamp[us]': has no time zone", None),
        ({"time": pa.array([1.5])}, "time 'double': must be timestamps with a time zone, RFC 3339", None),
        ({"time": pa.array([AT.date()])}, "time 'date32[day]': must be timestamps with a time zone", None),
        ({"time": pa.array(["2026-01-01T00:00:00"])}, "time '2026-01-01T00:00:00'", 0),
        ({"time": pa.array([2**62], pa.timestamp("s", "UTC"))}, "is not in the years 0001 to 9999", 0),
        ({"time": pa.array([2**64 - 1], pa.uint64())}, "time 'uint64'", None),
        ({"seq_number": pa.array(["1"])}, "seq_number 'string': must be integers", None),
        ({"severity": pa.array(["info", "bad"]), "message": pa.array(["a", "b"])}, "must be one of", 1),
        ({"severity": pa.array([7])}, "severity 7: must be 0 to 6, or a name", 0),
        ({"severity": pa.array([1.0])}, "severity 'double': must be text", None),
        ({"extensions": pa.array(["a"])}, "extensions 'string': must be bytes", None),
        ({"extra": pa.array([5])}, "extra 'int64': must be text", None),
        ({"extra": pa.array(["[1]"])}, "extra '[1]': must be a JSON object of texts", 0),
        ({"extra": pa.array(['{"a": 1}'])}, "must be a JSON object of texts", 0),
        ({"extra": pa.array([["a"]])}, "extra 'list<item: string>': must be a map of text to text", None),
        ({"extra": pa.array([{"a": 1}])}, "extra.a 1: must be text", 0),
        ({"extra": pa.array([[("a", None)]], PAIR_OF)}, "must have text for", 0),
        ({"extra": pa.array([[("a", "1"), ("a", "2")]], PAIR_OF)}, "has a key twice", 0),
        ({"extra": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))}, "must be text", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(column: dict[str, Any], said: str, row: int | None) -> None:
    error = refused(**column)
    assert said in str(error)
    assert error.position == row


def test_invalid_utf8_is_refused() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
    )
    error = refused(message=pa.concat_arrays([pa.array(["a"]), bad]))
    assert str(error) == "message b'\\xff': must be UTF-8, and is not at byte 0"
    assert error.position == 1


def test_a_fault_far_behind_has_its_row() -> None:
    size = 2 * PART_EVENTS + 5
    severities = ["info"] * size
    severities[size - 2] = "bad"
    parts = columns_from(pa.table({"time": range(size), "message": ["a"] * size, "severity": severities}))
    assert [next(parts).size, next(parts).size] == [PART_EVENTS, PART_EVENTS]
    with pytest.raises(InvalidInputError) as caught:
        next(parts)
    assert caught.value.position == size - 2


def test_columns_twice_or_missing_or_no_table() -> None:
    twice = pa.Table.from_arrays(
        [pa.array([1]), pa.array(["a"]), pa.array(["b"])], ["time", "message", "message"]
    )
    with pytest.raises(InvalidInputError, match="column 'message': is there twice"):
        columns_from(twice)
    with pytest.raises(InvalidInputError, match="column 'time': is missing; there are message"):
        columns_from(pa.table({"message": ["a"]}))
    with pytest.raises(InvalidInputError, match="data 'list': must be a table"):
        columns_from([Event("a")])


def test_a_frame_of_pandas_can_be_appended(sim: Instance) -> None:
    frame = pd.DataFrame(
        {
            "time": pd.to_datetime(["2026-01-01T00:00:00Z"] * 2),
            "message": ["a", "b"],
            "severity": ["watch", None],
        }
    )
    assert sim.append_columns(columns_from(frame)).stored == 2
    assert [event.severity for event in sim.events()] == [Severity.WATCH, Severity.INFO]
