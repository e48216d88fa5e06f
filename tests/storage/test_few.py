"""Zero, one and few events, and parts of many: columns, codes, vectors and rows work with all of them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import pytest

from tests.sizes import made
from yamcs_archive import Event
from yamcs_archive.columns import Columns
from yamcs_archive.event import event_bytes
from yamcs_archive.event_vectors import DictColumn, StoredVectors, dict_encode, int64s
from yamcs_archive.options import Options
from yamcs_archive.storage.format.block import Block, encode_blocks
from yamcs_archive.storage.format.block_part_encoder import MAIN, by_source, encode_parts, kinds_of
from yamcs_archive.storage.format.integers import pack_integers, sum_integers, unpack_integers
from yamcs_archive.storage.format.keys import Keys, decode_keys, encode_key, in_key_order
from yamcs_archive.storage.format.messages import ChunkPacker, pick_messages, unpack_chunk
from yamcs_archive.storage.format.rows import decode_rows, encode_rows
from yamcs_archive.storage.format.text_search import TextMatcher, is_plain
from yamcs_archive.storage.write.outcomes import decide, tally, tally_vectors
from yamcs_archive.storage.write.placement import split_into_blocks
from yamcs_archive.storage.write.validation import are_messages, bounded, prepare

SIZES = (0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 255, 256, 257)
few = pytest.mark.parametrize("size", SIZES)
several_sources = pytest.mark.parametrize("sources", [1, 2, 300])


def complete(size: int, sources: int = 2) -> list[Event]:
    return prepare(list(made(size, sources)), lambda: 5).events()


def parts_of(events: Sequence[Event]) -> list[slice]:
    """Parts of the events: none, one, some, and all."""
    return [slice(0, 0), slice(0, 1), slice(0, None, 7), slice(1, 3), slice(0, None)]


@several_sources
@pytest.mark.parametrize("of", SIZES)
def test_a_column_of_which_few_are_left_has_only_their_texts(of: int, sources: int) -> None:
    names = [event.source for event in made(of, sources)]
    whole = dict_encode(names)
    for part in parts_of(made(of, sources)):
        left = whole._replace(codes=whole.codes[part])
        for found in (left.used(), left.used().in_order(), DictColumn.concat([left, dict_encode([])]).used()):
            assert sorted(found.values) == sorted(set(names[part]))
            assert found.decoded() == names[part]
        assert left.used().in_order().values == sorted(set(names[part]))
        assert left.in_order().decoded() == left.decoded() == names[part]
    assert DictColumn.concat([]).decoded() == []


@several_sources
@few
def test_of_few_that_are_left_of_many_the_accounts_are_those_of_these_few(size: int, sources: int) -> None:
    columns = prepare(list(made(size, sources)), lambda: 5)
    many = StoredVectors.of(columns, commit=1)
    for part in parts_of(made(size, sources)):
        places = list(range(size))[part]
        assert tally_vectors(many.take(places)) == tally(columns.take(places))
    if size > 2:
        assert tally_vectors(many.cut(1, 2)) == tally(columns.cut(1, 2))


@pytest.mark.parametrize(
    "more",
    [{}, {"type": "kind"}, {"created_by": "user"}, {"extensions": b"123"}, {"extra": {"a": "bc"}}],
    ids=["bare", "type", "created_by", "extensions", "extra"],
)
def test_the_budget_of_one_event_counts_each_of_its_texts(more: dict[str, Any]) -> None:
    event = Event("abc", "S", generation_time=1, seq_number=1, reception_time=1, **more)
    assert Columns.of([event]).text_bytes == event_bytes(event)


@few
def test_columns_and_vectors_of_few_are_joined_cut_and_given_back(size: int) -> None:
    events = complete(size)
    columns, offered = prepare(events, int), Columns.of(events)
    many = StoredVectors.of(columns, commit=1)
    assert columns.events() == prepare(offered, int).events() == offered.events() == events
    assert list(many.events()) == list(in_key_order(many).events()) == events
    assert list(many.trimmed().stored_by(2).events()) == events
    assert Keys.of(many).encoded() == [encode_key(*event.key) for event in events]
    assert many.text_bytes() == sum(many.sizes()) <= sum(columns.sizes()) <= columns.text_bytes
    assert sum(part.size for part in columns.cut_by_size(100)) == size
    assert sum(part.size for part in split_into_blocks(many, Options(block_events_max=5))) == size
    for part in parts_of(events):
        places = list(range(size))[part]
        for found in (many.take(places), StoredVectors.concat([many.take(places), many.cut(0, 0)])):
            assert list(found.events()) == list(found.trimmed().events()) == events[part]
        assert columns.take(places).events() == events[part]
        assert Columns.concat([columns.cut(0, 0), columns.take(places)]).events() == events[part]
    assert StoredVectors.concat([]).size == Columns.concat([]).size == Columns.concat([]).size == 0
    assert Columns.concat([offered, offered.cut(0, 0)]).events() == events


@few
def test_few_events_round_trip_as_rows_and_as_a_block(size: int) -> None:
    events = complete(size)
    columns = prepare(events, int)
    many = StoredVectors.of(columns, commit=3)
    pairs = encode_rows(columns, commit=3)
    assert encode_rows(many, commit=3) == pairs
    for part in parts_of(events):
        assert list(decode_rows(pairs[part]).events()) == events[part]
        assert decode_rows(pairs[part]).commits.tolist() == [3] * len(events[part])
    times, names, numbers = decode_keys([key for key, _ in pairs])
    assert (times.tolist(), numbers.tolist()) == (many.times.tolist(), many.numbers.tolist())
    assert [name.decode() for name in names] == many.sources.decoded()
    assert not encode_blocks([])
    assert not encode_parts([], [], MAIN)
    if not size:
        return  # a block has the key of its first event
    [made_block] = encode_blocks([many])
    for part in parts_of(events):
        block = Block(made_block.key, made_block.value)
        places = list(range(size))[part]
        assert list(block.take(places).events()) == events[part]
        block = Block(made_block.key, made_block.value)
        assert list(block.some_events(places)) == events[part]
        assert block.indexes_of_keys([event.key for event in events[part]]) == places
    assert len(block.containing(TextMatcher({"step 1"}))) == sum(
        "Step 1" in event.message for event in events
    )


@few
def test_few_values_are_packed_and_summed(size: int) -> None:
    for values in ([300 * n for n in range(size)], list(range(size)), [7] * size):
        packed = pack_integers(values)
        assert pack_integers(int64s(array("q", values))) == packed
        assert unpack_integers(packed, size).tolist() == values
        assert [sum_integers(packed, size, first) for first in (0, size)] == [0, sum(values)]
        for absent in (None, array("q", [3]) * size):
            assert list(bounded(values, 0, 1 << 40, absent)) == values
    chunks = ChunkPacker().pack([f"Step {n}" for n in range(size)])
    assert [text for chunk in chunks for text in unpack_chunk(bytes(chunk))] == [
        f"Step {n}" for n in range(size)
    ]
    assert pick_messages(b"".join(map(bytes, chunks)) or b"[]", [], size) == []
    assert is_plain(b"")
    assert all(is_plain(chunk) for chunk in chunks)
    assert are_messages([f"Step {n}" for n in range(size)])


@few
def test_messages_and_sources_of_few_events_are_in_the_right_order(size: int) -> None:
    many = StoredVectors.of(prepare(list(made(size, 2)), lambda: 5), commit=1)
    assert by_source(many.sources).tolist() == sorted(range(size), key=lambda at: many.sources.codes[at])
    kinds = kinds_of(many.types, many.severities)
    assert size <= 1 if kinds is None else len(kinds) == size


def test_a_group_of_nothing_does_nothing() -> None:
    class Nothing:
        """A store that must not be asked."""

    nothing = prepare([], int)
    for submitted in ([], [nothing], [nothing, nothing]):
        group = decide(submitted, Nothing(), lambda _: None, None)  # type: ignore[arg-type]  # see there
        assert (group.new_runs, group.tally(), len(group.outcomes)) == ([], {}, len(submitted))
