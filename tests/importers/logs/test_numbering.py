"""Numbers made from what events say: a second import adds nothing, a grown log only what is new."""

from __future__ import annotations

from functools import cache
from itertools import count
from random import Random
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.importers.logs.samples import LOGS, read
from yamcs_archive import Event, Instance, Severity
from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.importers.logs import numbering
from yamcs_archive.importers.logs.numbering import Numbering, content_number, further, stored_beside
from yamcs_archive.results import AppendCounts, Conflict

LINES = {"pattern": r"(?P<time>\d+) (?P<message>.*)", "time_format": "unix"}


def imported(sim: Instance, events: list[Event]) -> AppendCounts:
    return stored_beside(lambda part: sim.append_columns([part]))(Columns.of(events))


@pytest.mark.parametrize("form", LOGS)
def test_a_second_import_adds_nothing(sim: Instance, form: str) -> None:
    data, options = LOGS[form]
    events, _ = read(form, data, **options)
    assert imported(sim, events).stored == len(events)
    again = imported(sim, read(form, data, **options)[0])
    assert (again.stored, again.duplicates, again.conflict_count) == (0, len(events), 0)


logs = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), max_size=30)


@given(logs, st.data())
def test_a_log_that_grew_has_the_numbers_that_it_had(
    lines: list[tuple[int, str]], data: st.DataObject
) -> None:
    whole = read("lines", "\n".join(f"{at} {text}" for at, text in lines).encode(), **LINES)[0]
    size = data.draw(st.integers(0, len(lines)))
    assert (
        read("lines", "\n".join(f"{at} {text}" for at, text in lines[:size]).encode(), **LINES)[0]
        == whole[:size]
    )
    assert len({event.key for event in whole}) == len(whole)


@given(logs, st.randoms())
def test_the_order_of_lines_changes_no_key(lines: list[tuple[int, str]], random: Random) -> None:
    def keys(given: list[tuple[int, str]]) -> set[object]:
        return {(event.key, event.message) for event in events_of(given)}

    shuffled = list(lines)
    random.shuffle(shuffled)
    assert keys(lines) == keys(shuffled)


def events_of(lines: list[tuple[int, str]]) -> list[Event]:
    return read("lines", "\n".join(f"{at} {text}" for at, text in lines).encode(), **LINES)[0]


def test_a_rotated_log_adds_only_what_is_new(sim: Instance) -> None:
    lines = [(n // 3, f"m{n}") for n in range(60)]
    assert imported(sim, events_of(lines[:40])).stored == 40
    counts = imported(sim, events_of(lines[25:]))
    assert (counts.stored, counts.duplicates) == (20, 15)


def test_numbers_are_negative_so_that_the_archive_can_go_on(sim: Instance) -> None:
    imported(sim, events_of([(n, f"m{n}") for n in range(2000)]))
    follow = [sim.append(Event("live", source="app")).event.seq_number for _ in range(3)]
    assert [number - follow[0] for number in follow] == [0, 1, 2]


def test_what_is_said_decides_the_number() -> None:
    numbers = [
        content_number("a", Severity.INFO, None, {}),
        content_number("b", Severity.INFO, None, {}),
        content_number("a", Severity.WATCH, None, {}),
        content_number("a", Severity.SEVERE, None, {}),
        content_number("a", Severity.ERROR, None, {}),
        content_number("a", Severity.INFO, "", {}),
        content_number("a", Severity.INFO, "t", {}),
        content_number("a", Severity.INFO, None, {"k": "v"}),
        content_number("a", Severity.INFO, None, {"k": "", "v": ""}),
    ]
    assert len(set(numbers)) == len(numbers)
    assert content_number("a", Severity.INFO, None, {"x": "1", "y": "2"}) == content_number(
        "a", Severity.INFO, None, {"y": "2", "x": "1"}
    )


def test_numbers_of_today_are_those_of_yesterday() -> None:
    """A change would store all that was imported before once more."""
    assert content_number("é", Severity.WARNING, "t", {"a": "1", "b": "2"}) == -16941547
    assert [event.seq_number for event in read("syslog", LOGS["syslog"][0], year=2025)[0]] == [
        -233945366, -1590776714, -1120275549, -1826115723, -549722733,
    ]  # fmt: skip


def test_repetitions_are_counted_however_many_other_lines_are_between() -> None:
    with mock.patch.object(numbering, "COUNTED_MAX", 10):
        numbers = Numbering()
        event = Event("a", generation_time=0)
        base = numbers.number(event)
        for at in range(8):
            numbers.number(Event(f"{at}", generation_time=0))
        assert numbers.number(event) == further(base, 1)
        for at in range(5):
            numbers.number(Event(f"x{at}", generation_time=0))
        assert numbers.number(event) == further(base, 2)
        for at in range(100):
            numbers.number(Event(f"y{at}", generation_time=0))
            assert len(numbers._young) + len(numbers._old) <= 20
        assert numbers.number(event) == base


@cache
def same_numbers() -> tuple[str, str]:
    """Return two messages that have one number: a collision of 31 bits comes after some 50,000."""
    seen: dict[int, str] = {}
    for n in count():
        text = f"m{n * 7919}"
        if (first := seen.setdefault(content_number(text, Severity.INFO, None, {}), text)) != text:
            return first, text
    raise AssertionError


def test_two_events_that_differ_and_have_one_number_are_both_stored_once(sim: Instance) -> None:
    first, second = same_numbers()
    lines = [(5, first), (5, second)]
    events = events_of(lines)
    assert events[0].key == events[1].key
    for stored in (2, 0):
        counts = imported(sim, events_of(lines))
        assert (counts.stored, counts.duplicates, counts.conflict_count) == (stored, 2 - stored, 0)
    assert sorted(event.message for event in sim.events()) == sorted([first, second])
    assert imported(sim, events_of(lines[1:])).duplicates == 1  # of a rotated log
    assert imported(sim, events_of([lines[0], (5, first)])).stored == 1  # a repetition takes a number beside
    assert [imported(sim, events_of(lines)).stored for _ in range(2)] == [0, 0]


def test_other_conflicts_stay_conflicts_at_their_positions(sim: Instance) -> None:
    sim.append(Event("there", source="S", generation_time=1, seq_number=7))
    own = Event("here", source="S", generation_time=1, seq_number=7)
    first, second = same_numbers()
    number = content_number(first, Severity.INFO, None, {})
    made = [Event(text, source="S", generation_time=1, seq_number=number) for text in (first, second)]
    counts = imported(sim, [own, *made, own])
    assert (counts.stored, counts.conflict_count) == (2, 2)
    assert [conflict.position for conflict in counts.conflicts] == [0, 3]


def test_an_error_of_a_later_try_gives_its_position_and_what_was_stored(sim: Instance) -> None:
    first, second = same_numbers()
    number = content_number(first, Severity.INFO, None, {})
    events = [Event(text, generation_time=1, seq_number=number) for text in (first, second)]
    calls: list[int] = []
    there = sim.append(events[0]).event

    def store(part: Columns[int | None]) -> AppendCounts:
        calls.append(part.size)
        if len(calls) == 1:
            return AppendCounts(stored=1, conflict_count=1, conflicts=(Conflict(1, there, events[1]),))
        error = InvalidInputError("message", "a", "must be other")
        error.position = 0
        raise error

    with pytest.raises(InvalidInputError) as caught:
        stored_beside(store)(Columns.of(events))
    assert (calls, caught.value.position, caught.value.counts.stored) == ([2, 1], 1, 1)
