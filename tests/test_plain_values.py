"""Values that plainly are ints or texts are accepted by every way in, in any number; others are not."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import astuple, replace

from yamcs_archive import Archive, Event, EventKey, Filter, Instance, InvalidInputError, Severity
from yamcs_archive.columns import Columns
from yamcs_archive.errors import BadTimeError, RequestIdError
from yamcs_archive.results import Commit, MirrorState
from yamcs_archive.storage.write.validation import prepare

SIZES = [1, 2, 15, 16, 63, 64, 65, 300]
"""Numbers of events around each threshold at which they are checked or stored in another way."""
NOW = 1_767_225_600_000_000
# Without types, because type checkers do not know that numpy's scalars are accepted.
Odd: Any = Event
OddKey: Any = EventKey
OddCommit: Any = Commit


class Text(str):
    __slots__ = ()


class Unit(enum.StrEnum):
    AOCS = "AOCS"


class Old(str, enum.Enum):  # noqa: UP042  # as it was before there was StrEnum; str() of it is "Old.AOCS"
    AOCS = "AOCS"


class Level(enum.StrEnum):
    HIGH = "warning"


class Plain(enum.Enum):
    AOCS = "AOCS"
    TIME = NOW
    NUMBER = 7
    WARNING = 2


class Number(int):
    pass


class Code(enum.IntEnum):
    TIME = NOW
    NUMBER = 7
    WARNING = 2


TEXTS: list[Callable[[], Any]] = [
    lambda: np.str_("AOCS"),
    lambda: Text("AOCS"),
    lambda: Unit.AOCS,
    lambda: Old.AOCS,
    lambda: Plain.AOCS,
]
NUMBERS: list[Any] = [np.int64, np.uint64, Number, np.array]
MEMBERS: list[type[Code] | type[Plain]] = [Code, Plain]


def foreign() -> list[tuple[str, Any, Any]]:
    """Return fields with values of other types, and the plain value of each."""
    found: list[tuple[str, Any, Any]] = []
    for field in ("message", "source", "type", "created_by"):
        found += [(field, make(), "AOCS") for make in TEXTS]
    for field in ("generation_time", "reception_time"):
        found += [(field, make(NOW), NOW) for make in NUMBERS]
        found += [(field, kind.TIME, NOW) for kind in MEMBERS]
        found += [(field, np.int8(value), value) for value in (-1, 0, 1)]
    found += [("seq_number", make(7), 7) for make in [*NUMBERS, np.int32, np.uint8]]
    found += [("seq_number", kind.NUMBER, 7) for kind in MEMBERS]
    found += [("severity", make(2), Severity.WARNING) for make in [int, *NUMBERS, np.uint8]]
    found += [("severity", kind.WARNING, Severity.WARNING) for kind in MEMBERS]
    found += [("severity", make("warning"), Severity.WARNING) for make in (str, np.str_, Text)]
    found += [("severity", name, Severity.WARNING) for name in ("WARNING", "Warning_New", Level.HIGH)]
    return [*found, ("extra", {Unit.AOCS: np.str_("a")}, {"AOCS": "a"})]


def among(size: int, field: str, value: Any) -> list[Event]:
    """Return ``size`` events, of which the first and the last have that value."""
    events = [
        Event(f"m{n}", "AOCS", Severity.INFO, "AOCS", NOW, -n, NOW, created_by="AOCS") for n in range(size)
    ]
    for at in {0, size - 1}:
        events[at] = replace(events[at], **{field: value})
    return events


def exact(events: list[Event]) -> bool:
    """Return whether all fields have exactly the types of the event model."""
    kinds = (str, str, Severity, str, int, int, int, str, bytes, dict)
    return all(
        value is None or type(value) is kind
        for event in events
        for value, kind in zip(astuple(event), kinds, strict=True)
    ) and all(type(text) is str for event in events for text in chain(*event.extra.items()))


@pytest.mark.parametrize("size", SIZES)
def test_plain_values_of_other_types_are_accepted(size: int) -> None:
    for field, value, plain in foreign():
        given, expected = among(size, field, value), among(size, field, plain)
        for some in (given, Columns.of(given)):
            found = prepare(some, int).events()
            assert found == expected, (field, value)
            assert exact(found), (field, value)


@pytest.mark.parametrize("many", [False, True])
def test_every_way_in_takes_them(sim: Instance, many: bool) -> None:
    odd = Odd(
        np.str_("m"),
        source=Unit.AOCS,
        severity=np.uint8(2),
        generation_time=np.int64(NOW),
        seq_number=np.int32(7),
        reception_time=Code.TIME,
        extra={Text("a"): Old.AOCS},
    )
    plain = Event("m", "AOCS", Severity.WARNING, None, NOW, 7, NOW, None, b"", {"a": "AOCS"})
    size = 20 if many else 1
    odds = [replace(odd, seq_number=np.int32(n)) for n in range(size)]
    plains = [replace(plain, seq_number=n) for n in range(size)]
    done = sim.append(replace(odds[0]), request_id=Text("r"))
    assert done.event == plains[0]
    assert exact([done.event])
    assert sim.append(plains[0], request_id="r").duplicate  # the same request, however it is typed
    with pytest.raises(RequestIdError):
        sim.append(replace(plains[0], message="other"), request_id=np.str_("r"))
    assert sim.submit(odds[0]).result().event == plains[0]
    assert sim.append_many(iter(odds), request_id="many").stored == size - 1
    assert sim.append_many(plains, request_id=Unit.AOCS).duplicates == size
    assert sim.append_many(plains, request_id="many").duplicates == size
    assert sim.append_columns([Columns.of(odds)]).duplicates == size
    assert list(sim.events()) == plains
    sim.take_over([OddCommit(np.int64(5), tuple(odds), "c")], MirrorState(Text("u"), "s", np.str_("c")))
    assert list(sim.events()) == plains
    assert sim.mirrored == MirrorState("u", "s", "c")


def test_every_question_takes_them(sim: Any) -> None:
    events = [
        Event(f"m{n}", "AOCS", Severity(n), generation_time=n, seq_number=n, reception_time=n)
        for n in range(5)
    ]
    sim.append_many(events)
    assert sim.get(OddKey(np.int64(1), Unit.AOCS, np.uint8(1))) == events[1]
    assert list(sim.events(start=np.int64(1), stop=Number(3))) == events[1:3]
    assert list(sim.events(sources=np.array(["AOCS", "B"]))) == events
    assert list(sim.events(sources=[Unit.AOCS], text=Text("M1"))) == events[1:2]
    for least in (np.uint8(3), "distress", np.str_("DISTRESS"), Severity.DISTRESS):
        assert list(sim.events(min_severity=least)) == events[3:]
    assert list(sim.events(limit=np.int16(2), descending=np.True_)) == events[:2:-1]
    assert list(sim.events(after_key=OddKey(Number(2), np.str_("AOCS"), np.int8(2)))) == events[3:]
    assert list(sim.events(filter=np.str_("m4"))) == events[4:]
    assert type(Filter(Unit.AOCS).text) is str
    assert sum(found.size for found in sim.event_vectors(sources=[Plain.AOCS])) == 5
    assert [stretch.events for stretch in sim.histogram(pause_us=np.int64(0))] == [1] * 5
    assert list(sim.changes(np.str_(sim.cursor()))) == []
    sim.arrival(sim.cursor(), timeout_s=np.float32(0)).result(timeout=60)
    assert Severity.parse(Text("watch")) is Severity.WATCH


NO_SEVERITIES = [-1, 7, np.uint8(7), "", "worse", "2", "WARN\u0130NG", b"WARNING"]
NEITHER = [True, False, np.True_, 5.0, np.float64(5), math.nan, Decimal(5), "5", b"5", 5j]
NEITHER += [np.timedelta64(5, "us"), np.datetime64(5, "us"), np.array([5]), np.array([5, 6]), Plain.AOCS]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("field", ["generation_time", "seq_number", "reception_time", "severity"])
def test_a_value_that_is_no_integer_is_refused_among_any_number_of_events(field: str, size: int) -> None:
    for value in [*NEITHER, *(NO_SEVERITIES if field == "severity" else [])]:
        with pytest.raises(InvalidInputError) as caught:
            prepare(among(size, field, value), int)
        assert (caught.value.field, caught.value.position) == (field, 0), value
        bad = replace(Event("a"), **{field: value})
        for some in ([Event("good")] * (size - 1) + [bad], Columns.of([Event("good")] * (size - 1) + [bad])):
            with pytest.raises(InvalidInputError) as caught:
                prepare(some, int)
            assert (caught.value.field, caught.value.position) == (field, size - 1), value


def test_an_equal_text_does_not_hide_a_value_of_another_type(sim: Instance) -> None:
    """A set keeps only the first of equal texts; the types of the others must be checked as well."""
    events = [Event("m", source="AOCS", type="AOCS", created_by="AOCS", generation_time=n) for n in range(80)]
    events[50] = replace(
        events[50], message=Unit.AOCS, source=Unit.AOCS, type=Text("AOCS"), created_by=Old.AOCS
    )
    sim.append_many(events)
    again = [replace(event, message=f"{event.message}!", seq_number=n) for n, event in enumerate(events)]
    shown = sim.append_many(again).conflicts
    assert len(shown) == 80
    assert exact([event for conflict in shown for event in (conflict.stored, conflict.offered)])


class Fine(datetime):
    """A datetime with nanoseconds, like pandas' Timestamp: they show only in its differences."""

    nanosecond = 999

    def __sub__(self, other: Any) -> Any:
        delta = datetime.__sub__(self, other)
        return FineDelta(days=delta.days, seconds=delta.seconds, microseconds=delta.microseconds)


class FineDelta(timedelta):
    nanoseconds = 999


class Beyond(datetime):
    """A datetime of a year that datetime does not have."""

    def __sub__(self, other: Any) -> Any:
        raise OverflowError

    def __repr__(self) -> str:
        raise NotImplementedError


class Nowhere(tzinfo):
    def utcoffset(self, when: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, when: datetime | None) -> str:
        return "nowhere"


def test_fractions_of_a_microsecond_are_cut_off() -> None:
    assert Event.at(Fine(2026, 1, 1, tzinfo=UTC), "a").generation_time == NOW
    assert Event.at(Fine(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "a").generation_time == -1


@pytest.mark.parametrize(
    "time", [Beyond(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=Nowhere())]
)
def test_a_datetime_that_names_no_instant_is_refused(time: datetime) -> None:
    with pytest.raises(BadTimeError):
        Event.at(time, "a")


@pytest.mark.parametrize("text", TEXTS)
def test_the_name_of_an_instance_is_taken_for_the_text_it_is(text: Callable[[], Any], tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        made = archive.instance(text(), create=True)
        assert type(made.name) is str
        assert made is archive.instance("AOCS")
        assert archive.instances() == ["AOCS"]
