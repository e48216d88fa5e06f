"""Young events are the same in whichever form they were added, and whoever asks for them first."""

from __future__ import annotations

from sys import getsizeof
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import sizes
from tests.strategies import stored_events
from yamcs_archive import Event
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.young import arrivals
from yamcs_archive.storage.young.arrivals import _EVENT_BYTES, Arrivals, memory_of, memory_of_one

_forms = st.sampled_from(["one", "columns", "vectors"])


def add(held: Arrivals, form: str, events: list[Event], commit: int) -> None:
    columns: Columns[int] = Columns.of(events)
    if form == "one":
        for event in events:
            held.add_one(Columns.of([event]), commit)
    else:
        more = columns if form == "columns" else StoredVectors.of(columns, 0)
        held.add(more, [commit] * len(events))


def check(held: Arrivals, events: list[Event], commits: list[int]) -> None:
    every = range(len(events))
    assert list(held.columns(every).events()) == events
    assert held.commits(every) == commits
    assert list(held.columns(every[::2]).events()) == events[::2]
    assert [held.key(at) for at in every] == [event.key for event in events]


@given(
    st.lists(st.tuples(_forms, st.lists(stored_events, min_size=1, max_size=4), st.booleans()), max_size=8)
)
def test_what_was_added_is_found_by_index(steps: list[tuple[str, list[Event], bool]]) -> None:
    held = Arrivals()
    events: list[Event] = []
    commits: list[int] = []
    for nth, (form, more, asked) in enumerate(steps):
        add(held, form, more, nth)
        events += more
        commits += [nth] * len(more)
        if asked:
            check(held, events, commits)
        if events:
            whole = held.vectors()
            assert list(whole.events()) == events
            assert whole.commits.tolist() == commits
    check(held, events, commits)


NAMES = [
    name for name in vars(Arrivals()) if name.startswith("_") and name not in ("_lock", "_waiting", "_added")
]


@pytest.mark.parametrize("name", NAMES)
def test_a_join_that_was_interrupted_is_done_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Event(f"m{n}", f"S{n}", generation_time=n, seq_number=n, reception_time=n) for n in range(7)]
    held = Arrivals()
    add(held, "one", made[:1], 1)
    add(held, "columns", made[1:4], 2)
    add(held, "vectors", made[4:], 3)
    column: Any = getattr(held, name)

    class Interrupting(type(column)):  # type: ignore[misc]  # the column, whose next change is interrupted
        left = 1

        def __setitem__(self, at: Any, values: Any) -> None:
            if Interrupting.left:
                Interrupting.left = 0
                raise KeyboardInterrupt
            super().__setitem__(at, values)

    changed = Interrupting("q", column) if name in ("_times", "_numbers", "_received", "_commits") else None
    monkeypatch.setattr(held, name, Interrupting(column) if changed is None else changed)
    with pytest.raises(KeyboardInterrupt):
        held.join()
    check(held, made, [1, 2, 2, 2, 3, 3, 3])


@pytest.mark.parametrize("parts", sizes.around(["storage.young.arrivals._SEARCHED_PARTS_MAX"]))
def test_a_few_vectors_are_searched_as_they_came(parts: int) -> None:
    held = Arrivals()
    assert held.unjoined() is None
    for nth in range(parts):
        events = [Event("m", generation_time=10 * nth + n, seq_number=0, reception_time=0) for n in range(2)]
        add(held, "vectors", events, nth)
    found = held.unjoined()
    if parts > arrivals._SEARCHED_PARTS_MAX:
        assert found is None
        return
    assert found is not None
    assert [(start, keys.size) for start, keys in found] == [(2 * nth, 2) for nth in range(parts)]
    add(held, "columns", [Event("m", generation_time=999, seq_number=0, reception_time=0)], 99)
    assert held.unjoined() is None
    held.join()
    assert held.unjoined() is None


@pytest.mark.parametrize("text", ["abc", "\xe9", "\u20ac", "\U0001f680", ""])
def test_memory_is_that_of_the_texts(text: str) -> None:
    event = Event(text, generation_time=0, seq_number=0, reception_time=0)
    expected = _EVENT_BYTES + getsizeof(text)
    for more, size in (
        ({}, 0),
        ({"type": text}, getsizeof(text)),
        ({"created_by": text}, getsizeof(text)),
        ({"extensions": b"12"}, getsizeof(b"12")),
        ({"extra": {"a": text}}, getsizeof({"a": text}) + getsizeof("a") + getsizeof(text)),
    ):
        columns: Columns[int] = Columns.of([Event(**{**_fields(event), **more})])
        assert memory_of(columns) == expected + size
        assert memory_of_one(columns) == expected + size
        assert memory_of(StoredVectors.of(columns, 0)) == expected + size


def _fields(event: Event) -> dict[str, Any]:
    return {
        name: getattr(event, name) for name in ("message", "generation_time", "seq_number", "reception_time")
    }
