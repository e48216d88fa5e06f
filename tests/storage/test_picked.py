"""Some events of a block, each column read by itself, are those that reading the whole block gives."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import many, stored_events
from yamcs_archive import Event
from yamcs_archive.event_vectors import DictColumn, PackedMessages, StoredVectors
from yamcs_archive.storage.format.block import Block, EncodedBlock, encode_blocks, encode_late
from yamcs_archive.storage.format.integers import pack_integers, unpack_integers
from yamcs_archive.storage.format.keys import in_key_order
from yamcs_archive.storage.read.picked_vectors import picked_vectors
from yamcs_archive.storage.write.validation import prepare

COLUMNS = StoredVectors._fields
NONE_FOR_NOTHING: dict[str, list[Any]] = {"extensions": [b""], "extra": [{}]}
few_sources = many(
    st.builds(
        Event,
        st.just("a"),
        st.sampled_from("ABC"),
        generation_time=st.integers(0, 9),
        seq_number=st.integers(-(2**31), 2**31 - 1),
        reception_time=st.sampled_from([0, 300, 2**40]),
    )
)


def _encoded(events: list[Event], late: Collection[int] = ()) -> EncodedBlock:
    """Return a block of these events; those at some places, but not the first and the last, are late."""
    unique = {event.key: event for event in events}
    stored = in_key_order(StoredVectors.of(prepare(list(unique.values()), int), commit=1))
    is_late = [0 < at < stored.size - 1 and at in late for at in range(stored.size)]
    [made] = encode_blocks([stored.take([at for at, late_one in enumerate(is_late) if not late_one])])
    if any(is_late):
        added = stored.take([at for at, late_one in enumerate(is_late) if late_one]).stored_by(2)
        [made] = encode_late([(Block(made.key, made.value), made.value, made.zone_map)], [added])
    return made


def _texts(packed: PackedMessages) -> list[str]:
    texts = json.loads(packed.text.tobytes())
    assert len(texts) == packed.size
    return texts if packed.order is None else [texts[at] for at in packed.order.tolist()]


def _same(found: object, expected: object) -> bool:
    if isinstance(expected, DictColumn):
        assert isinstance(found, DictColumn)
        return found.decoded() == expected.decoded()
    if isinstance(expected, np.ndarray):
        return isinstance(found, np.ndarray) and found.tolist() == expected.tolist()
    return found == expected


@given(st.one_of(many(stored_events), few_sources), st.sets(st.integers(0, 30)), st.data())
def test_each_column_is_that_of_the_whole_block(
    events: list[Event], late: set[int], data: st.DataObject
) -> None:
    made = _encoded(events, late)
    whole = Block(made.key, made.value)
    wanted = sorted(data.draw(st.sets(st.integers(0, whole.count - 1))))
    expected = whole.events.take(wanted)
    picked = picked_vectors(Block(made.key, made.value), wanted)
    assert picked.size == len(wanted)
    for name in data.draw(st.permutations(COLUMNS)):  # what was decoded before makes no difference
        found, right = getattr(picked, name), getattr(expected, name)
        if name in NONE_FOR_NOTHING:  # what no event of the part has may be None
            found, right = (values or NONE_FOR_NOTHING[name] * len(wanted) for values in (found, right))
        assert _same(found, right), name
    packed = picked.packed_messages
    assert packed is None or _texts(packed) == expected.messages
    everything = picked_vectors(Block(made.key, made.value), None)
    assert everything.messages == whole.events.messages
    assert everything.times.tolist() == whole.times.tolist()


@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize("late", [[], [3, 17, 18, 1500], range(2, 2400, 2)])
@pytest.mark.parametrize("first", [0, 10, 995, 1490])
def test_few_messages_are_not_packed(first: int, late: Collection[int], size: int) -> None:
    events = [
        Event(f"m{n}", generation_time=n // 2, seq_number=n, reception_time=n, severity=n % 3)
        for n in range(2500)
    ]
    made = _encoded(events, late)
    wanted = range(first, first + size)
    picked = picked_vectors(Block(made.key, made.value), wanted)
    assert len(Block(made.key, made.value).parts) == 1 + bool(late)
    assert picked.messages == [f"m{n}" for n in wanted]
    assert (picked.packed_messages is None) == (size < 8)
    packed = picked_vectors(Block(made.key, made.value), wanted).packed_messages
    assert packed is None or _texts(packed) == [f"m{n}" for n in wanted]


@pytest.mark.parametrize("source", ["A", "B", "C"])
def test_the_numbers_of_one_source_are_read_alone(source: str) -> None:
    events = [
        Event("a", "ABC"[n % 3], generation_time=n, seq_number=n * n, reception_time=n) for n in range(30)
    ]
    made = _encoded(events)
    block = Block(made.key, made.value)
    wanted = [n for n in range(30) if events[n].source == source]
    for some in (wanted, wanted[:1], wanted[-1:], wanted[1::2]):
        picked = picked_vectors(block, some)
        assert picked.numbers.tolist() == [n * n for n in some]
    assert "numbers" not in vars(block.parts[0])
    assert picked_vectors(block, [0, 1]).numbers.tolist() == [0, 1]  # of two sources


@pytest.mark.parametrize("values", [[5, 5, 5], [1, 300, -1], [2**40, 0, -(2**40)], [1000, 2000, -3000]])
@pytest.mark.parametrize("only", [slice(0), slice(1), slice(2), slice(3), [0], [2, 0], [1, 1]])
def test_some_integers_are_those_of_the_column(values: list[int], only: slice | list[int]) -> None:
    which = only if isinstance(only, slice) else np.array(only)
    found = unpack_integers(pack_integers(values), 3, which)
    assert found.tolist() == np.array(values)[which].tolist()
