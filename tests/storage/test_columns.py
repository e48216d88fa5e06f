"""Preparing events by column and one by one gives the same columns and refuses the same events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.strategies import many, stored_events
from tests.test_event import BROKEN
from yamcs_archive import Event, InvalidInputError
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.write.validation import prepare

plain_events = stored_events.map(lambda event: replace(event, extra={}, extensions=b""))


@given(st.lists(plain_events | stored_events, max_size=40) | many(plain_events | stored_events))
def test_columns_give_back_the_events(events: list[Event]) -> None:
    columns = prepare(events, int)
    assert columns.events() == events
    assert Columns.concat([prepare(events[:7], int), prepare(events[7:], int)]).events() == events
    assert columns.take(range(len(events))).events() == events
    assert columns.take(range(0, len(events), 2)).events() == events[::2]


@pytest.mark.parametrize(("broken", "field", "_said"), BROKEN, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("before", [0, 1, 30])
def test_a_broken_event_among_many_is_named_with_its_position(
    broken: Event, field: str, _said: str, before: int
) -> None:
    events = [Event("good", seq_number=n) for n in range(before)] + [broken] + [Event("good")] * 20
    with pytest.raises(InvalidInputError) as caught:
        prepare(events, int)
    assert field in caught.value.field
    assert caught.value.position == before


def test_none_and_empty_values_are_filled_in() -> None:
    columns = prepare(
        [Event("a", source=""), Event("b", generation_time=1, reception_time=2)] * 10, lambda: 7
    )
    assert columns.source[:2] == ["User", "User"]
    assert list(columns.generation_time[:2]) == [7, 1]
    assert list(columns.reception_time[:2]) == [7, 2]
    assert columns.seq_number[:2] == [None, None]


@pytest.mark.parametrize(
    "bad", [1.5, "12345678", b"1234567", 1 << 63, 1 << 64, -(1 << 63) - 1, True, [1 << 40]]
)
@pytest.mark.parametrize(("size", "place"), [(30, 0), (30, 20), (1_000, 0), (1_000, 999)])
@pytest.mark.parametrize("field", ["generation_time", "reception_time"])
def test_among_times_of_today_nothing_else_passes_for_one(
    bad: object, size: int, place: int, field: str
) -> None:
    times: list[object] = [(1 << 50) + n for n in range(size)]
    times[place] = bad
    events = [Event("a", **{field: time}) for time in times]  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidInputError) as caught:
        prepare(events, int)
    assert (caught.value.field, caught.value.position) == (field, place)


@pytest.mark.parametrize("size", [30, 1_000])
def test_times_of_any_width_and_sign_are_kept(size: int) -> None:
    times = [(1 << 50) + n for n in range(size)]
    for odd in (-5, 0, 7, 1 << 31, 1 << 32, -(1 << 50)):
        for place in (0, size - 1):
            given_times = [*times[:place], odd, *times[place:]]
            columns = prepare([Event("a", generation_time=time) for time in given_times], int)
            assert list(columns.generation_time) == given_times


def test_long_and_short_messages_are_taken_together() -> None:
    events = [Event("a" * size) for size in (0, 4096, 4097, 1 << 20)] * 5
    assert prepare(events, int).message == [event.message for event in events]


def test_more_sources_than_a_byte_can_number_are_prepared() -> None:
    events = [Event("a", source=f"S{n % 300}", seq_number=n) for n in range(900)]
    assert list(StoredVectors.of(prepare(events, lambda: 1), commit=1).events()) == [
        replace(event, generation_time=1, reception_time=1) for event in events
    ]
