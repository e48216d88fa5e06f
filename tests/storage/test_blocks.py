"""Blocks and zone maps: every block round-trips, flipped bits are detected, bombs are refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest.mock import patch
from zlib import crc32

import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.strategies import keys, stored_events
from yamcs_archive import Event, EventKey, Options, Severity
from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors, int64s
from yamcs_archive.limits import BLOCK_FRAME_READ_BYTES_MAX
from yamcs_archive.storage.format import block_part_encoder, messages, text_search
from yamcs_archive.storage.format.block import Block, EncodedBlock, encode_blocks, encode_late
from yamcs_archive.storage.format.compression import decompressed
from yamcs_archive.storage.format.integers import integer_at, pack_integers, sum_integers, unpack_integers
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.format.text_search import TextMatcher
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    ZoneMap,
    block_filter,
    decode_if_matching,
    decode_zone_map,
    encode_zone_map,
    pack_sources,
)
from yamcs_archive.storage.read.query import Query, block_events, matching_indexes
from yamcs_archive.storage.read.range_reader import Slice
from yamcs_archive.storage.write.placement import split_into_blocks
from yamcs_archive.storage.write.validation import prepare
from yamcs_archive.storage.young.views import NO_EVENTS

int64 = st.integers(-(2**63), 2**63 - 1)
columns_of_integers = st.lists(int64, max_size=50) | st.lists(st.integers(-200, 200), max_size=50)
event_lists = st.lists(stored_events, min_size=1, max_size=30, unique_by=lambda event: event.key).map(
    lambda events: sorted(events, key=lambda event: event.key)
)


def block_of(events: list[Event], commit: int = 1) -> EncodedBlock:
    """A block with several message chunks, even if it has few events."""
    commits = int64s([commit + n % 3 for n in range(len(events))])
    with patch.object(messages, "CHUNK_MESSAGES", 7):
        [block] = encode_blocks([StoredVectors.of(prepare(events, int), 0)._replace(commits=commits)])
        return block


def asked(block: Block, query: Query, lower: bytes = b"", upper: bytes = b"\xff" * 9) -> list[Event]:
    """The events that a query finds in a block that is alone in a store."""
    whole = lower <= block.key and encode_key(*block.key_of(-1)) < upper
    places = matching_indexes(Slice(lower, upper, NO_EVENTS, block, whole), query, query.matcher)
    return list(block_events(block, places, query))


@given(columns_of_integers)
def test_every_column_of_integers_round_trips(values: list[int]) -> None:
    assert unpack_integers(pack_integers(values), len(values)).tolist() == values


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1), st.sampled_from([1, 1000]), st.data())
def test_one_value_and_a_sum_are_those_unpacked(values: list[int], divisor: int, data: st.DataObject) -> None:
    values = [value * divisor for value in values]
    packed, at = pack_integers(values), data.draw(st.integers(0, len(values) - 1))
    assert integer_at(packed, len(values), at) == values[at]
    for first in (at, len(values)):
        assert sum_integers(packed, len(values), first) == sum(values[:first])


@given(columns_of_integers, st.integers(0, 60), st.binary(max_size=30))
def test_a_column_of_another_length_is_refused(values: list[int], count: int, noise: bytes) -> None:
    if len(set(values)) > 1 and count != len(values):
        with pytest.raises(ValueError, match="no column"):
            unpack_integers(pack_integers(values), count)
    if noise[:1] not in (b"\0", b"\1", b"\2", b"\4", b"\x08"):
        with pytest.raises(ValueError, match="no column"):
            unpack_integers(noise, count)
        with pytest.raises(ValueError, match="no column"):
            integer_at(noise, count, 0)


@given(event_lists)
def test_every_block_round_trips_and_its_zone_map_is_right(events: list[Event]) -> None:
    block = block_of(events)
    opened = Block(block.key, block.value)
    assert list(opened.events.events()) == events
    assert [opened.key_of(at) for at in range(opened.count)] == [tuple(event.key) for event in events]
    assert [opened.index_of(event.key) for event in events] == list(range(len(events)))
    assert opened.commits.tolist() == [1 + n % 3 for n in range(len(events))]
    summary = block.zone_map
    assert (block.key, summary.last) == (encode_key(*events[0].key), encode_key(*events[-1].key))
    assert summary.sources == pack_sources(event.source for event in events)
    assert summary.severities == sum({1 << event.severity for event in events})
    assert summary.events == opened.count == len(events)


@given(event_lists, keys, keys, st.booleans(), st.data())
def test_a_query_of_a_block_finds_the_events_that_match(
    events: list[Event], lower: EventKey, upper: EventKey, descending: bool, data: st.DataObject
) -> None:
    text = data.draw(st.none() | st.text(max_size=3).map(str.casefold))
    query = Query(
        sources=data.draw(
            st.none() | st.sets(st.sampled_from([event.source for event in events])).map(frozenset)
        ),
        min_severity=data.draw(st.none() | st.sampled_from(Severity)),
        text=text,
        descending=descending,
    )
    block = block_of(events)
    found = asked(Block(block.key, block.value), query, encode_key(*lower), encode_key(*upper))
    expected = [event for event in events if lower <= event.key < upper and query.wants(event)]
    assert found == (expected[::-1] if descending else expected)


def with_late(events: list[Event], late: set[int]) -> tuple[EncodedBlock, list[Event]]:
    """A block and its events; those at some positions, never the first or last, are in its late part."""
    late &= set(range(1, len(events) - 1))
    main = block_of([event for at, event in enumerate(events) if at not in late])
    if not late:
        return main, events
    added = StoredVectors.of(prepare([events[at] for at in sorted(late)], int), 9)
    [block] = encode_late([(Block(main.key, main.value), main.value, main.zone_map)], [added])
    return block, events


blocks_with_late = st.builds(with_late, event_lists, st.sets(st.integers(0, 30)))


@given(blocks_with_late, keys, st.text(max_size=2))
def test_late_events_are_read_in_their_places(
    found: tuple[EncodedBlock, list[Event]], key: EventKey, text: str
) -> None:
    block, events = found
    opened = Block(block.key, block.value)
    opened.check_body()
    assert list(opened.events.events()) == events
    assert [opened.key_of(at) for at in range(opened.count)] == [tuple(event.key) for event in events]
    assert opened.index_of(key) == sum(event.key < key for event in events)
    assert opened.severities.tolist() == [event.severity for event in events]
    assert sorted(opened.indexes_of_commits(1, 9)) == list(range(len(events)))
    assert [events[at].key for at in opened.indexes_of_commits(9, 9)] == [
        event.key for event, commit in zip(events, opened.commits.tolist(), strict=True) if commit == 9
    ]
    summary = block.zone_map
    assert (summary.first, summary.last) == (encode_key(*events[0].key), encode_key(*events[-1].key))
    assert summary.events == len(events)
    assert summary.sources == pack_sources(event.source for event in events)
    folded = text.casefold()
    holding = [at for at, event in enumerate(events) if folded in event.message.casefold()]
    assert Block(block.key, block.value).containing(TextMatcher({folded})) == holding
    taken = Block(block.key, block.value).take(holding[:1])
    assert list(taken.events()) == [events[at] for at in holding[:1]]


@given(blocks_with_late, st.integers(0, 2**24))
def test_a_flipped_bit_in_a_block_is_detected(found: tuple[EncodedBlock, list[Event]], bit: int) -> None:
    block, _ = found
    at = bit % (8 * len(block.value))
    value = bytearray(block.value)
    value[at // 8] ^= 1 << at % 8
    with pytest.raises(DamagedError, match="blocks"):
        _ = Block(block.key, bytes(value)).events


@given(event_lists, keys)
def test_a_block_under_another_key_or_cut_short_is_detected(events: list[Event], other: EventKey) -> None:
    block = block_of(events)
    if encode_key(*other) != block.key:
        with pytest.raises(DamagedError):
            Block(encode_key(*other), block.value)
    for length in (0, 8, 31, len(block.value) // 2, len(block.value) - 1):
        with pytest.raises(DamagedError):
            _ = Block(block.key, block.value[:length]).events


def test_a_bomb_is_refused_by_its_header_before_it_is_decompressed() -> None:
    frame = zstandard.ZstdCompressor().compress(b"x" * 100)
    for raw_bytes, reason in (
        (BLOCK_FRAME_READ_BYTES_MAX + 1, "says that it has"),
        (BLOCK_FRAME_READ_BYTES_MAX, "not the one that the header says"),
        (5, "not the one that the header says"),
    ):
        covered = block_part_encoder.HEADER.pack(0, 0, 1, len(frame), 0, 0, raw_bytes, 0)[4:]
        start = crc32(b"key", block_part_encoder.MAIN)
        lying = crc32(frame, crc32(covered, start)).to_bytes(4, "big") + covered + frame
        with pytest.raises(DamagedError, match=reason):
            _ = Block(b"key", lying).times


summaries = st.builds(
    ZoneMap,
    first=keys.map(lambda key: encode_key(*key)),
    last=keys.map(lambda key: encode_key(*key)),
    events=st.integers(1, 5000),
    sources=st.sets(keys.map(lambda key: key.source), min_size=1, max_size=10).map(pack_sources),
    severities=st.integers(1, 127),
    lowest_commit=st.integers(1, 2**40),
    greatest_commit=st.integers(1, 2**40),
    severity_counts=st.just(()) | st.tuples(*[st.integers(0, 5000)] * len(Severity)),
)


@given(summaries)
def test_every_summary_round_trips(summary: ZoneMap) -> None:
    assert decode_zone_map(*encode_zone_map(BLOCK_LEVEL, summary)) == summary


@pytest.mark.parametrize("count", [1, 16, 17, 2000])
def test_a_zone_map_admits_every_stored_source_and_excludes_most_others(count: int) -> None:
    names = frozenset(f"source {n}" for n in range(count))
    summary = ZoneMap(b"a", b"b", count, pack_sources(names), 1 << Severity.WATCH, 1, 1)
    stored = decode_zone_map(*encode_zone_map(BLOCK_LEVEL, summary))
    group = ZoneMap.merge([stored, stored._replace(first=b"c", last=b"d")])
    for found in (stored, group):
        assert all(found.may_match(block_filter(frozenset([name]), None)) for name in names)
        denied = [not found.may_match(block_filter(frozenset([f"other {n}"]), None)) for n in range(200)]
        assert sum(denied) >= 195
        assert found.may_match(block_filter(None, Severity.WATCH))
        assert not found.may_match(block_filter(None, Severity.WARNING))


@pytest.mark.parametrize("count", [1, 16, 17, 2000])
@pytest.mark.parametrize("asked", [0, 1, 2, 5, 255, 256, 257, 3000])
def test_a_summary_says_the_same_however_many_sources_are_asked_for(count: int, asked: int) -> None:
    """A few sources are searched for one by one, many are looked up together."""
    summary = ZoneMap(b"a", b"b", count, pack_sources(f"source {n}" for n in range(count)), 2, 1, 1)
    group = ZoneMap.merge(
        [summary, summary._replace(first=b"c", last=b"d", sources=pack_sources(["another"]))]
    )
    others = [f"other {n}" for n in range(asked)]
    there = ["source 0", f"source {count - 1}", f"source {count // 2}"]
    for found in (summary, group):
        pair = encode_zone_map(BLOCK_LEVEL, found)
        if asked:
            for name in there:
                ask = block_filter(frozenset([*others[1:], name]), None)
                assert found.may_match(ask)
                assert decode_if_matching(*pair, ask) == found
        names = {*others} if found.sources[:1] != b"\1" else {*others[:5]}  # more would meet a hash by chance
        assert not found.may_match(block_filter(frozenset(names), None))
        assert decode_if_matching(*pair, block_filter(frozenset(names), None)) is None


def test_bytes_of_two_hashes_are_not_taken_for_a_third() -> None:
    wanted, found = block_filter(frozenset(["EPS", "A"]), None), crc32(b"EPS").to_bytes(4, "big")
    for hashes, there in (
        (b"ab" + found + b"cd", False),
        (b"a" + found + b"bcd", False),
        (b"ab" + found + b"cd" + found, True),
        (found + b"abcd", True),
        (b"abcd" + found, True),
        (b"abcd", False),
    ):
        zone_map = ZoneMap(b"a", b"b", 17, b"\1" + hashes, 1, 1, 1)
        assert zone_map.may_match(wanted) == there, hashes


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 7), st.integers(1, 40))
@example([0, 0, 0, 0, 2], 4, 1)  # of one size at first, then cut by text
def test_blocks_are_cut_at_events_or_text_whichever_comes_first(
    lengths: list[int], events_max: int, bytes_max: int
) -> None:
    events = [Event("x" * length, generation_time=n, seq_number=n) for n, length in enumerate(lengths)]
    options = Options(block_events_max=events_max, block_text_bytes_max=bytes_max)
    found = [
        (int(part.times[0]), int(part.times[-1]) + 1)
        for part in split_into_blocks(StoredVectors.of(prepare(events, int), 1), options)
    ]
    assert [place for start, stop in found for place in range(start, stop)] == list(range(len(events)))
    for start, stop in found:
        assert stop - start <= events_max
        assert stop - start == 1 or sum(lengths[start:stop]) <= bytes_max
    for (start, _), (_, end) in pairwise(found):
        assert end - start > events_max or sum(lengths[start : end + 1]) > bytes_max


@pytest.mark.parametrize(
    ("events", "sizes"),
    [
        (99, [99]),
        (100, [100]),
        (101, [100, 1]),  # two of 51 would be less than three quarters full
        (148, [100, 48]),
        (149, [75, 74]),  # the first is full enough
        (150, [75, 75]),
        (151, [76, 75]),
        (161, [81, 80]),
        (200, [100, 100]),
        (201, [100, 100, 1]),
        (225, [75, 75, 75]),
        (250, [84, 83, 83]),
    ],
)
def test_blocks_are_of_one_size_where_that_fills_three_quarters_of_each(
    events: int, sizes: list[int]
) -> None:
    many = [Event("m", generation_time=n, seq_number=n) for n in range(events)]
    found = split_into_blocks(StoredVectors.of(prepare(many, int), 1), Options(block_events_max=100))
    assert [part.size for part in found] == sizes


def test_every_character_that_folds_to_ascii_is_known_by_its_first_bytes() -> None:
    characters = [chr(code) for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    folding = [
        each
        for each in characters
        if (folded := each.casefold()) != each and any(part < "\x80" for part in folded)
    ]
    assert folding
    assert [each for each in folding if text_search.is_plain(each.encode())] == []
    texts = ["".join(characters[at : at + 256]) for at in range(0, len(characters), 256)]
    suspect = [each for text in texts if not text_search.is_plain(text.encode()) for each in text]
    assert sum(not text_search.is_plain(each.encode()) for each in suspect) < 600


def test_unicode_that_folds_to_ascii_is_found() -> None:
    events: Any = [Event("\u212a elvin \u017f", generation_time=n, seq_number=n) for n in range(3)]
    block = block_of(events)
    opened = Block(block.key, block.value)
    for text in ("k elvin s", "K ELVIN S"):
        assert len(asked(opened, Query(text=text.casefold()))) == 3


def test_a_key_frame_is_not_taken_for_that_of_another_body() -> None:
    one, other = (block_of([Event(text, generation_time=1, seq_number=1, reception_time=1)]) for text in "ab")
    size = block_part_encoder.HEADER.size
    assert len(one.value) == len(other.value)
    assert one.value[8:size] == other.value[8:size]
    frame = int.from_bytes(one.value[12:16], "big")
    mixed = one.value[:4] + other.value[4:8] + one.value[8 : size + frame] + other.value[size + frame :]
    with pytest.raises(DamagedError, match="checksum of its keys"):
        Block(one.key, mixed)


@pytest.mark.parametrize("places", [[0], [1, 0], [0, 0]])
def test_events_out_of_order_are_never_written(places: list[int]) -> None:
    events = [Event(f"{n}", generation_time=5, seq_number=n, reception_time=1) for n in range(2)]
    if places == [0]:
        encode_blocks([StoredVectors.of(prepare(events, int), 1).take(places)])
        return
    with pytest.raises(RuntimeError, match="not in the order of their keys"):
        encode_blocks([StoredVectors.of(prepare(events, int), 1).take(places)])


@given(blocks_with_late, st.sets(st.integers(0, 29), min_size=1, max_size=6), st.booleans())
def test_events_built_one_by_one_are_those_built_by_column(
    found: tuple[EncodedBlock, list[Event]], places: set[int], descending: bool
) -> None:
    block, events = found
    some = sorted(place for place in places if place < len(events))
    built = list(Block(block.key, block.value).some_events(some, descending=descending))
    by_column = list(Block(block.key, block.value).take(some).events(descending=descending))
    assert built == by_column == [events[place] for place in (some[::-1] if descending else some)]
    # Equality is not enough: numpy's numbers equal ints, but cannot be encoded.
    assert [list(map(type, msgspec.structs.astuple(event))) for event in built] == [
        list(map(type, msgspec.structs.astuple(event))) for event in by_column
    ]


@pytest.mark.parametrize("sizes", [[0] * 3000, [10, 9000, 0, 5000, 1], range(300), [20_000]])
def test_each_message_is_picked_out_of_a_long_chunk(sizes: list[int]) -> None:
    texts = ["x" * size for size in sizes]
    chunk = msgspec.json.encode(texts)
    assert all(messages.pick_messages(chunk, [at], len(texts)) == [text] for at, text in enumerate(texts))


def test_a_look_at_one_event_reads_one_chunk_of_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [Event(f"{n}", generation_time=n, seq_number=1, reception_time=1) for n in range(70)]
    block = block_of(events)
    read: list[int] = []

    def seen(frame: memoryview, raw_bytes: int) -> bytes:
        read.append(raw_bytes)
        return decompressed(frame, raw_bytes)

    monkeypatch.setattr(messages, "decompressed", seen)
    assert list(Block(block.key, block.value).take([33]).events()) == [events[33]]
    assert len(read) == 1
    assert len(asked(Block(block.key, block.value), Query(text="69"))) == 1
    assert len(read) == 11
