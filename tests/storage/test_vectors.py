"""Events as vectors: they come back unchanged, in the order asked for; many are handled as few are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import keys, many, stored_events
from yamcs_archive import Archive, Event, EventKey, Options
from yamcs_archive.event_vectors import StoredVectors, int64s
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.format.keys import (
    Keys,
    decode_keys,
    encode_key,
    encode_keys,
    in_key_order,
    index_among,
    key_order,
)
from yamcs_archive.storage.write.validation import prepare

event_lists = st.lists(stored_events, min_size=1, max_size=30) | many(stored_events)


@given(event_lists, st.data())
def test_vectors_give_back_the_events(events: list[Event], data: st.DataObject) -> None:
    found = StoredVectors.of(prepare(events, int), commit=1)
    assert list(found.events()) == events
    assert list(found.events(descending=True)) == events[::-1]
    places = data.draw(st.lists(st.integers(0, len(events) - 1)))
    assert list(found.take(places).events()) == [events[at] for at in places]
    assert list(found.cut(1, 4).events()) == events[1:4]
    assert [found.event(at) for at in range(len(events))] == events
    assert Keys.of(found).encoded() == [encode_key(*event.key) for event in events]
    cut = data.draw(st.integers(1, len(events)))
    parts = [StoredVectors.of(prepare(part, int), commit=1) for part in (events[:cut], events[cut:]) if part]
    assert list(StoredVectors.concat(parts).events()) == events
    assert sum(found.sizes()) == found.text_bytes()


@given(event_lists)
def test_vectors_in_key_order_are_sorted_and_found_by_key(events: list[Event]) -> None:
    found = in_key_order(StoredVectors.of(prepare(events, int), commit=1))
    expected = sorted(events, key=lambda event: event.key)
    assert list(found.events()) == expected
    for event in events:
        first = next(place for place, other in enumerate(expected) if other.key == event.key)
        assert index_among(found.times, event.key, found.key) == first


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_the_order_of_keys_is_that_of_a_stable_sort(pairs: list[tuple[int, int]]) -> None:
    order = key_order(int64s([time for time, _ in pairs]), lambda at: pairs[at][1])
    expected = sorted(range(len(pairs)), key=pairs.__getitem__)
    assert (list(range(len(pairs))) if order is None else order.tolist()) == expected


@given(st.lists(keys, min_size=1))
def test_many_keys_are_encoded_and_decoded_as_one_by_one(some: list[EventKey]) -> None:
    times, sources, numbers = (list(column) for column in zip(*some, strict=True))
    encoded = encode_keys(int64s(times), [source.encode() for source in sources], int64s(numbers))
    assert encoded == [encode_key(*key) for key in some]
    found = decode_keys(encoded)
    assert [found[0].tolist(), [name.decode() for name in found[1]], found[2].tolist()] == [
        times,
        sources,
        numbers,
    ]


@contextmanager
def _failing_at(point: str) -> Iterator[None]:
    """Interrupt the first call that reaches the failpoint."""

    def interrupt(reached: str) -> None:
        if reached == point:
            failpoints.on_point = None
            raise KeyboardInterrupt

    failpoints.on_point = interrupt
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        failpoints.on_point = None


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 12))]
)
def test_events_scattered_among_stored_ones_are_distinguished_from_them(seed: int, tmp_path: Path) -> None:
    """Large groups in no order, with retries and conflicts within them and with stored rows and blocks."""
    rng = random.Random(seed)
    options = Options(block_events_max=16, run_events_min=12, maintenance=False)
    model: dict[EventKey, Event] = {}
    arrived: list[EventKey] = []
    with Archive.open(tmp_path / "data", options=options) as archive:
        sim = archive.instance("sim", create=True)
        for _ in range(6):
            batch = [
                Event(
                    rng.choice(["a", "b"]),
                    source=rng.choice(["A", "B"]),
                    generation_time=rng.randrange(1500),
                    seq_number=rng.randrange(2),
                    reception_time=0,
                )
                for _ in range(rng.choice([70, 300, 700]))
            ]
            stored = duplicates = conflicts = 0
            new = []
            for event in batch:
                held = model.setdefault(event.key, event)
                if held is event:
                    stored += 1
                    new.append(event.key)
                elif held == event:
                    duplicates += 1
                else:
                    conflicts += 1
            arrived += sorted(new)
            if rng.random() < 0.3:  # cached keys of rows must not outlive a failed transaction
                with _failing_at(rng.choice(["before-commit", "outcomes-known"])):
                    sim.append_many(batch)
            counts = sim.append_many(batch)
            assert (counts.stored, counts.duplicates, counts.conflict_count) == (
                stored,
                duplicates,
                conflicts,
            )
            assert list(sim.events()) == [model[key] for key in sorted(model)]
            assert [change.event.key for change in sim.changes()] == arrived
            if rng.random() < 0.3:
                with _failing_at("checkpoint-put"):
                    sim.settle()
            if rng.random() < 0.5:
                sim.settle()
        sim.settle()
        assert [change.event.key for change in sim.changes()] == arrived
        assert sim.stats().events == len(model)
