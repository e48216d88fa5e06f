"""Preparing events: by column and one by one give the same columns, and refuse the same events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.strategies import stored_events
from tests.test_event import BROKEN
from yamcs_archive import Event, InvalidInputError
from yamcs_archive.storage.columns import joined, prepare

plain_events = stored_events.map(lambda event: replace(event, extra={}, extensions=b""))


@given(st.lists(plain_events | stored_events, max_size=40))
def test_columns_give_back_the_events(events: list[Event]) -> None:
    columns = prepare(events, int)
    assert columns.events() == events
    assert joined([prepare(events[:7], int), prepare(events[7:], int)]).events() == events
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


def test_what_is_none_or_empty_is_filled_in() -> None:
    columns = prepare(
        [Event("a", source=""), Event("b", generation_time=1, reception_time=2)] * 10, lambda: 7
    )
    assert columns.source[:2] == ["User", "User"]
    assert list(columns.generation_time[:2]) == [7, 1]
    assert list(columns.reception_time[:2]) == [7, 2]
    assert columns.seq_number[:2] == [None, None]
