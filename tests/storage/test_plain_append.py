"""The short way of a few events after all others decides as the long way does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Event
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import Indexes, StoredVectors
from yamcs_archive.limits import SEQ_NUMBER_MAX, SEQ_NUMBER_MIN
from yamcs_archive.storage.format.keys import Key, Keys
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.write.outcomes import decide, update_sources
from yamcs_archive.storage.write.plain_append import plain_append

_names = st.sampled_from(["A", "AB", "é", "\U0001f680", "\uffff"])
_times = st.integers(-2, 4)
_numbers = st.sampled_from([None, None, SEQ_NUMBER_MIN, -1, 0, 1, 2, SEQ_NUMBER_MAX - 1, SEQ_NUMBER_MAX])
_states = st.builds(
    SourceState,
    st.integers(0, 3),
    st.none() | st.sampled_from([SEQ_NUMBER_MIN, 0, 1, SEQ_NUMBER_MAX - 1, SEQ_NUMBER_MAX]),
    st.none() | _times,
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
)
_events = st.builds(
    Event, st.just("m"), _names, generation_time=_times, seq_number=_numbers, reception_time=st.just(0)
)


class OneStored:
    """A store with one event, whose key is the greatest."""

    def __init__(self, key: Key) -> None:
        self.key = key

    def next_key(self, key: Key) -> Key | None:
        return self.key if key <= self.key else None

    def greatest_key(self) -> Key | None:
        return self.key

    def stored_among(self, keys: Keys) -> Indexes:
        return np.array([at for at in range(keys.size) if keys.key(at) == self.key], np.intp)

    def rows(self, keys: Keys) -> Iterator[tuple[Indexes, StoredVectors]]:
        raise AssertionError("few events are compared one by one")

    def events(self, keys: Sequence[Key]) -> list[Event]:
        return [
            Event("stored", source, generation_time=time, seq_number=number, reception_time=0)
            for time, source, number in keys
        ]


@given(
    st.lists(_events, min_size=1, max_size=6).flatmap(
        lambda found: st.sampled_from([found, sorted(found, key=lambda event: event.generation_time or 0)])
    ),
    st.fixed_dictionaries(dict.fromkeys(("A", "AB", "é", "\U0001f680", "\uffff"), _states)),
    st.tuples(_times, _names, st.sampled_from([SEQ_NUMBER_MIN, 0, 1, SEQ_NUMBER_MAX])),
    st.none() | _times,
)
def test_it_decides_as_the_long_way_does(
    offered: list[Event], states: dict[str, SourceState], greatest: Key, horizon: int | None
) -> None:
    columns = Columns.of(offered)
    known = dict(states)
    found = plain_append(columns, states.__getitem__, greatest, horizon)
    assert states == known

    group = decide([columns], OneStored(greatest), lambda name: states[name].greatest_number, horizon)
    [outcome] = group.outcomes
    if found is None:
        keys = [] if outcome.error else [outcome.columns.key(at) for at in range(len(offered))]
        assert (
            not keys
            or not all(a < b for a, b in zip([greatest, *keys], keys, strict=False))
            or (horizon is not None and keys[0][0] < horizon)
        ), "it needed no look-up"
        return
    assert outcome.error is None
    assert outcome.stored == len(offered)
    assert list(found.columns.events()) == list(outcome.columns.events())
    assert (group.events.size, [run[:2] for run in group.new_runs]) == (len(offered), [(0, len(offered))])
    assert list(found.columns.keys()) == [group.events.key(at) for at in range(len(offered))]
    changed: dict[str, SourceState] = {}
    update_sources(group, lambda name: changed.get(name) or states[name], changed)
    assert found.sources == changed
