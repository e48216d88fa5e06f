"""Some events of a block, each column read by itself, are those that reading the whole block gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import many, stored_events
from yamcs_archive import Event
from yamcs_archive.event_vectors import DictColumn, StoredVectors
from yamcs_archive.storage.format.block import Block, EncodedBlock, encode_blocks
from yamcs_archive.storage.format.integers import pack_integers, unpack_integers
from yamcs_archive.storage.format.keys import in_key_order
from yamcs_archive.storage.read.picked_vectors import PickedVectors
from yamcs_archive.storage.write.validation import prepare

COLUMNS = StoredVectors._fields
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


def _encoded(events: list[Event]) -> EncodedBlock:
    unique = list({event.key: event for event in events}.values())
    [made] = encode_blocks([in_key_order(StoredVectors.of(prepare(unique, int), commit=1))])
    return made


def _same(found: object, expected: object) -> bool:
    if isinstance(expected, DictColumn):
        assert isinstance(found, DictColumn)
        return found.decoded() == expected.decoded()
    if isinstance(expected, np.ndarray):
        return isinstance(found, np.ndarray) and found.tolist() == expected.tolist()
    return found == expected


@given(st.one_of(many(stored_events), few_sources), st.data())
def test_each_column_is_that_of_the_whole_block(events: list[Event], data: st.DataObject) -> None:
    made = _encoded(events)
    whole = Block(made.key, made.value)
    wanted = sorted(data.draw(st.sets(st.integers(0, whole.count - 1))))
    expected = whole.events.take(wanted)
    picked = PickedVectors(Block(made.key, made.value), wanted)
    for name in data.draw(st.permutations(COLUMNS)):  # what was decoded before makes no difference
        assert _same(getattr(picked, name), getattr(expected, name)), name


@pytest.mark.parametrize("source", ["A", "B", "C"])
def test_the_numbers_of_one_source_are_read_alone(source: str) -> None:
    events = [
        Event("a", "ABC"[n % 3], generation_time=n, seq_number=n * n, reception_time=n) for n in range(30)
    ]
    made = _encoded(events)
    block = Block(made.key, made.value)
    wanted = [n for n in range(30) if events[n].source == source]
    for some in (wanted, wanted[:1], wanted[-1:], wanted[1::2]):
        picked = PickedVectors(block, some)
        assert picked.numbers.tolist() == [n * n for n in some]
    assert "numbers" not in vars(block.parts[0])
    assert PickedVectors(block, [0, 1]).numbers.tolist() == [0, 1]  # of two sources


@pytest.mark.parametrize("values", [[5, 5, 5], [1, 300, -1], [2**40, 0, -(2**40)], [1000, 2000, -3000]])
@pytest.mark.parametrize("only", [slice(0), slice(1), slice(2), slice(3), [0], [2, 0], [1, 1]])
def test_some_integers_are_those_of_the_column(values: list[int], only: slice | list[int]) -> None:
    which = only if isinstance(only, slice) else np.array(only)
    found = unpack_integers(pack_integers(values), 3, which)
    assert found.tolist() == np.array(values)[which].tolist()
