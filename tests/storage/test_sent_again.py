"""Events that are sent again are told from those that differ, whatever form the stored ones have.

The comparison by column says what a plain comparison of events says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests import sizes
from tests.sizes import around
from yamcs_archive import Archive, ConflictError, Event, EventKey, Instance, Options, Severity
from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError
from yamcs_archive.event import AS_SHOWN, SEVERITIES, as_stored, same_content
from yamcs_archive.event_vectors import Indexes, StoredVectors
from yamcs_archive.results import Commit, MirrorState
from yamcs_archive.storage.format.block import Block, encode_blocks, encode_late
from yamcs_archive.storage.format.keys import Key, Keys
from yamcs_archive.storage.write.outcomes import Group, decide
from yamcs_archive.storage.write.same_rows import same_rows
from yamcs_archive.storage.write.writer_cache import WriterCache

OPTIONS = Options(block_events_max=64, run_events_min=16, maintenance=False)
SOURCES = (1, 2, 300)
CHANGES: dict[str, Callable[[Event], Event]] = {
    "message": lambda event: replace(event, message=event.message + "\0"),
    "longer": lambda event: replace(event, message=event.message * 2),
    "severity": lambda event: replace(event, severity=SEVERITIES[event.severity - 1]),
    "type": lambda event: replace(event, type="T" if event.type is None else None),
    "other type": lambda event: replace(event, type="another"),
    "extra": lambda event: replace(event, extra={} if event.extra else {"k": "w"}),
    "extensions": lambda event: replace(event, extensions=b"" if event.extensions else b"\x08\x01"),
}
"""Each changes one field that makes it another event."""
ALIKE: dict[str, Callable[[Event], Event]] = {
    "nothing": lambda event: event,
    "reception time": lambda event: replace(event, reception_time=(event.reception_time or 0) + 1),
    "user": lambda event: replace(event, created_by="b" if event.created_by is None else None),
    "as shown": lambda event: replace(event, severity=AS_SHOWN[Severity(min(event.severity, 5))]),
}
"""Each makes something else of an event that is a duplicate still."""


def history(size: int, sources: int, start: int = 0) -> list[Event]:
    """Events in key order, up to three of each time, in every form that a field has."""
    made = [
        Event(
            f"m{n}",
            source=f"S{n % sources}",
            severity=SEVERITIES[n % 7],
            type=None if n % 3 else f"T{n % 5}",
            generation_time=n // 3,
            seq_number=n,
            reception_time=n,
            created_by="a" if n % 11 == 0 else None,
            extensions=b"\x08\x02" if n % 13 == 0 else b"",
            extra={"k": "v"} if n % 17 == 0 else {},
        )
        for n in range(start, start + size)
    ]
    return sorted(made, key=lambda event: event.key)


def forms_of(sim: Instance) -> tuple[int, int, int]:
    """The number of young events, of blocks, and of blocks with a late part."""
    environment: Any = sim._store._environment  # type: ignore[attr-defined]  # the form at rest is no public thing
    with environment.snapshot() as (transaction, young):
        pairs = list(transaction.cursor(environment.databases["blocks"]).iternext())
        parts = [len(Block(key, value).parts) for key, value in pairs]
        return young.events, len(parts), parts.count(2)


def stored_in_every_form(sim: Instance, events: Sequence[Event]) -> None:
    """Store events, which are in key order: in blocks, in late parts, carried by a record, and young."""
    first, second, third = (len(events) * share // 10 for share in (6, 7, 8))
    late = [at for at in range(1, first) if at % 25 == 7]
    kept = set(late)
    sim.append_many([event for at, event in enumerate(events[:first]) if at not in kept])
    sim.append_many([events[at] for at in late[::2]])
    sim.settle()
    sim.append_many([*(events[at] for at in late[1::2]), *events[first:second]])
    for at in range(second, third, 5):
        sim.append_many(events[at : min(at + 5, third)])
    for event in events[third:]:
        sim.append(event)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        yield archive.instance("sim", create=True)


def check(sim: Instance, stored: Sequence[Event], offered: Sequence[Event]) -> None:
    """Offer events, and compare what is told of them with a plain comparison."""
    known = {event.key: event for event in stored}
    differing = [
        at for at, event in enumerate(offered) if not same_content(known.setdefault(event.key, event), event)
    ]
    new = len(known) - len(stored)
    counts = sim.append_many(list(offered))
    assert (counts.stored, counts.duplicates) == (new, len(offered) - new - len(differing))
    assert counts.conflict_count == len(differing)
    shown = [(each.position, each.stored, each.offered) for each in counts.conflicts]
    expected = [(at, known[offered[at].key], offered[at]) for at in differing]
    assert shown == expected[: len(shown)]
    assert len(shown) == min(len(expected), sizes.value("limits.CONFLICTS_KEPT_MAX"))


@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("size", [1, 20, 63, 64, 65, 900])
def test_what_is_sent_again_is_told_from_what_differs(sim: Instance, size: int, sources: int) -> None:
    events = history(size, sources)
    stored_in_every_form(sim, events)
    if size == 900:
        young, blocks, with_late = forms_of(sim)
        assert young > 200, "some are carried, beside the young ones"
        assert (blocks > 8, with_late > 2) == (True, True)
    rng = random.Random(size)
    for change in ALIKE.values():
        check(sim, events, [change(event) for event in events])
    for change in CHANGES.values():
        changed = set(rng.sample(range(size), 1 + size // 50))
        offered = [change(event) if at in changed else event for at, event in enumerate(events)]
        check(sim, events, offered)
        check(sim, events, rng.sample(offered, size))
    check(sim, events, [change(event) for event in events for change in CHANGES.values()][: 4 * size])
    assert list(sim.events()) == events


@pytest.mark.parametrize("size", around(["storage.write.outcomes._VECTOR_EVENTS_MIN"]))
def test_new_ones_among_those_that_are_sent_again_are_stored(sim: Instance, size: int) -> None:
    events = history(3 * size, 2)
    stored = [event for at, event in enumerate(events) if at % 3]
    stored_in_every_form(sim, stored)
    offered = [*events[: size - 1], events[0], *events[size - 1 :]]
    check(sim, stored, offered[:size])
    check(sim, sorted({*stored, *offered[:size]}, key=lambda event: event.key), offered)
    assert list(sim.events()) == events


@pytest.mark.parametrize("size", [1, 2, 4, 5, *around(["storage.write.outcomes._VECTOR_EVENTS_MIN"])])
def test_one_event_as_often_as_its_block_has_events(tmp_path: Path, size: int) -> None:
    events = history(size, 1)
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events)
        for _ in range(2):
            for at in (0, size // 2, size - 1):
                check(sim, events, [events[at]] * size)
                check(sim, events, [CHANGES["type"](events[at])] * size)
            check(sim, events, [events[at // 2] for at in range(size)])
            sim.settle()
            assert forms_of(sim)[1] == 1


@pytest.mark.parametrize("again", [1, *around(["storage.write.outcomes._VECTOR_EVENTS_MIN"])])
def test_a_batch_of_which_some_are_stored(sim: Instance, again: int) -> None:
    """Few stored ones are compared one by one, though the batch is decided by column."""
    events = history(300, 2)
    stored = events[:: 300 // again][:again]
    stored_in_every_form(sim, stored)
    changed = [CHANGES["type"](event) if at % 40 == 0 else event for at, event in enumerate(events)]
    check(sim, stored, changed)
    assert sim.stats().events == 300


@pytest.mark.parametrize("callers", [1, 2, 70])
def test_a_caller_of_one_event_gets_the_stored_one(sim: Instance, callers: int) -> None:
    """Also where many callers share one commit, in which events are compared by column."""
    events = history(300, 2)
    stored_in_every_form(sim, events)
    offered = [ALIKE["reception time"](event) for event in events[:callers]]
    answers = [future.result() for future in [sim.submit(event) for event in offered]]
    assert [(answer.duplicate, answer.event) for answer in answers] == [
        (True, event) for event in events[:callers]
    ]


def test_an_event_is_found_again_however_often_its_block_was_read(sim: Instance) -> None:
    events = history(60, 2)
    sim.append_many(events)
    sim.settle()
    for event in events:
        assert sim.append(event).event == event
        with pytest.raises(ConflictError) as caught:
            sim.append(replace(event, message="other"))
        assert caught.value.stored == event


def test_a_block_that_is_read_often_is_decoded_whole() -> None:
    [made] = encode_blocks([StoredVectors.of(Columns.of(history(60, 2)), commit=1)])
    cache, block = WriterCache(), Block(made.key, made.value)
    for key in (None, [made.key]):
        cache.keep(block := Block(made.key, made.value))
        for _ in range(sizes.value("storage.write.writer_cache._READS_MAX")):
            cache.read_again(block)
        assert "events" not in vars(block)
        cache.read_again(block)
        assert "events" in vars(block)
        cache.forget(key)


def test_an_event_of_a_damaged_block_is_read_as_before_if_it_can_be() -> None:
    [made] = encode_blocks([StoredVectors.of(Columns.of(history(2_000, 2)), commit=1)])
    cache = WriterCache()
    cache.keep(block := Block(made.key, made.value[:-1] + bytes([made.value[-1] ^ 1])))
    for _ in range(2 + sizes.value("storage.write.writer_cache._READS_MAX")):
        cache.read_again(block)
    assert "events" not in vars(block)
    with pytest.raises(DamagedError):
        _ = block.events


def test_a_copy_refuses_an_event_that_differs_in_any_field(sim: Instance) -> None:
    """A mirror has the events of its origin in every field, so there a duplicate must be equal."""
    events = history(100, 2)
    state = MirrorState("http://ops:8090", "sim", "1")
    for _ in range(2):
        sim.take_over([Commit(1, tuple(map(as_stored, events)), "1")], state)
    for name, change in (ALIKE | CHANGES).items():
        if name in ("nothing", "as shown"):
            continue
        for part in (slice(40, 41), slice(0, None)):
            offered = [change(event) if at == 40 else event for at, event in enumerate(events)][part]
            with pytest.raises(ConflictError) as caught:
                sim.take_over([Commit(2, tuple(map(as_stored, offered)), "2")], state)
            assert caught.value.stored == events[40]
    assert list(sim.events()) == events


# By themselves

texts = st.sampled_from(["", "a", "b", "ab", "\0", "é"])
pairs = st.dictionaries(texts, texts, max_size=2)
severities = st.sampled_from([*SEVERITIES, *AS_SHOWN.values()])


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """Stored events and offered ones of the same keys; each field is drawn for all events, or for each."""
    size = draw(st.integers(1, 5))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        if draw(st.booleans()):
            return [draw(values)] * size
        return draw(st.lists(values, min_size=size, max_size=size))

    def events(given: st.SearchStrategy[Severity]) -> list[Event]:
        fields = [
            *(column(texts), column(given), column(st.none() | texts), column(st.integers(0, 1))),
            *(column(st.none() | texts), column(st.sampled_from([b"", b"\x08\x01"])), column(pairs)),
        ]
        return [
            Event(message, "S", severity, kind, at, at, received, user, extensions, dict(extra))
            for at, (message, severity, kind, received, user, extensions, extra) in enumerate(
                zip(*fields, strict=True)
            )
        ]

    stored, offered = events(st.sampled_from(SEVERITIES)), events(severities)
    return stored, [draw(st.sampled_from([one, other])) for one, other in zip(stored, offered, strict=True)]


@given(rows(), st.booleans())
@settings(max_examples=200)
def test_rows_are_compared_as_events_are(events: tuple[list[Event], list[Event]], exact: bool) -> None:
    stored, offered = events
    alike = [
        one == other if exact else same_content(one, other)
        for one, other in zip(stored, offered, strict=True)
    ]
    one, other = (StoredVectors.of(Columns.of(part), 0) for part in events)
    found = same_rows(one, other, exact=exact)
    for same, given_alike, kept, given_event in zip(found.tolist(), alike, stored, offered, strict=True):
        as_shown = given_event.severity is AS_SHOWN[given_event.severity]
        assert same == given_alike or (not same and as_shown and kept.severity != given_event.severity)


@pytest.mark.parametrize("late", [0, 1, 20])
@pytest.mark.parametrize("sources", SOURCES)
def test_a_block_finds_many_keys_as_it_finds_each(sources: int, late: int) -> None:
    events = history(600, sources)[100:500]
    there = events[::2]
    main = [event for at, event in enumerate(there) if not 1 <= at <= late]
    [made] = encode_blocks([StoredVectors.of(Columns.of(main), commit=1)])
    if late:
        added = StoredVectors.of(Columns.of(there[1 : late + 1]), commit=2)
        [made] = encode_late([(Block(made.key, made.value), made.value, made.zone_map)], [added])
    block = Block(made.key, made.value)
    odd = [replace(event, source=name) for event in there[:9] for name in ("S0", "S1", "other")]
    known = {event.key for event in events}
    odd = [event for event in odd if event.key not in known]
    odd.append(replace(events[9], seq_number=-5))
    asked = sorted([*history(600, sources), *odd, *there[:3]], key=lambda event: event.key)
    found = block.indexes_among(Keys.of(StoredVectors.of(Columns.of(asked), 0))).tolist()
    assert found == block.indexes_of_keys([event.key for event in asked])
    places = {event.key: at for at, event in enumerate(there)}
    assert found == [places.get(event.key, -1) for event in asked]
    nothing = Keys.of(StoredVectors.of(Columns.of([]), 0))
    assert block.indexes_among(nothing).tolist() == []


class Known:
    """A store with some events, which hands out rows in parts of three, the odd ones first."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.by_key: dict[Key, Event] = {event.key: event for event in events}

    def next_key(self, key: Key) -> Key | None:
        return min((each for each in self.by_key if each >= key), default=None)

    def greatest_key(self) -> Key | None:
        return max(self.by_key, default=None)

    def stored_among(self, keys: Keys) -> Indexes:
        return np.array([at for at in range(keys.size) if keys.key(at) in self.by_key], np.intp)

    def events(self, keys: Sequence[Key]) -> list[Event]:
        return [self.by_key[key] for key in keys]

    def rows(self, keys: Keys) -> Iterator[tuple[Indexes, StoredVectors]]:
        order = [*range(1, keys.size, 2), *range(0, keys.size, 2)]
        for start in range(0, keys.size, 3):
            part = order[start : start + 3]
            events = self.events([keys.key(at) for at in part])
            yield np.array(part), StoredVectors.of(Columns.of(events), 9)


def plainly(
    submitted: Sequence[Sequence[Event]], stored: Sequence[Event], exact: bool
) -> list[tuple[dict[int, Event], list[tuple[int, Event, Event]]]]:
    """The duplicates and the conflicts of each caller: every event compared with the first of its key."""
    first: dict[EventKey, Event] = {event.key: event for event in stored}
    found: list[tuple[dict[int, Event], list[tuple[int, Event, Event]]]] = []
    for events in submitted:
        duplicates: dict[int, Event] = {}
        conflicts = []
        for at, event in enumerate(events):
            known = first.setdefault(event.key, event)
            if known is event:
                continue
            if known == event if exact else same_content(known, event):
                duplicates[at] = known
            else:
                conflicts.append((at, known, event))
        found.append((duplicates, conflicts))
    return found


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=5),
    st.sampled_from([60, 63, 64, 65, 130]),
    st.sampled_from(SOURCES),
    st.randoms(use_true_random=False),
    st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_it_decides_as_a_plain_comparison_does(
    callers: list[int], size: int, sources: int, rng: random.Random, exact: bool
) -> None:
    """Callers of no event, of one and of many; keys that repeat, among stored ones and new ones."""
    events = history(size, sources)
    stored = rng.sample(events, rng.randint(0, size))
    makers = [*ALIKE.values(), *CHANGES.values()]
    submitted = []
    for count in [*callers, size - sum(callers)]:
        picked = [replace(rng.choice(events)) for _ in range(max(count, 0))]
        submitted.append([rng.choice(makers)(each) if rng.random() < 0.3 else each for each in picked])
    submitted.append([replace(stored[0])] if stored else [])
    columns: list[Columns[int]] = [Columns.of(part) for part in submitted]
    group: Group = decide(columns, Known(stored), lambda _: None, None, exact=exact)
    told = [
        (
            sorted(outcome.duplicates),
            [(each.position, each.stored, each.offered) for each in outcome.conflicts.first],
        )
        for outcome in group.outcomes
    ]
    expected = plainly(submitted, stored, exact)
    kept = sizes.value("limits.CONFLICTS_KEPT_MAX")
    assert told == [(list(duplicates), conflicts[:kept]) for duplicates, conflicts in expected]
    assert [sorted(outcome.conflicts.positions) for outcome in group.outcomes] == [
        [at for at, _, _ in conflicts] for _, conflicts in expected
    ]
    assert [outcome.duplicate_of for outcome in group.outcomes] == [
        duplicates.get(0) if len(part) == 1 else None
        for (duplicates, _), part in zip(expected, submitted, strict=True)
    ]
