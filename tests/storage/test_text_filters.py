"""Text filters pass over blocks that cannot hold a text, and never over one that does."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import sizes
from tests.golden.texts import FACTORS
from tests.storage.test_damage import values
from tests.storage.test_large import look_when_idle
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.disk.lmdb_open import TEXTS
from yamcs_archive.storage.format import text_filters
from yamcs_archive.storage.format.block import Block, encode_blocks, text_filter_of
from yamcs_archive.storage.format.text_filters import (
    BITMAP_BYTES,
    TextFilter,
    WorkSpace,
    decode_filter,
    excludes,
    trigrams,
)
from yamcs_archive.storage.format.text_search import is_plain
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, GROUP_LEVEL
from yamcs_archive.storage.maintain import groups as group_closing
from yamcs_archive.storage.maintain import text_filters as making
from yamcs_archive.storage.read import block_index, range_reader

OPTIONS = Options(block_events_max=8, run_events_min=4, late_share=1, maintenance=False)
ODD = 'aAbB Kk\u212a\u0130\u0131\u017fsSßẞﬁfi\u0149nıIé\u0301\U0001f680"\\/\n\0\x7f\u2028~`@[{1'
TEXTS_OF = st.text(st.sampled_from(ODD), max_size=24)


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_closing, "GROUP_BLOCKS_MAX", 2)


def event(n: int, message: str, source: str = "S", **more: Any) -> Event:
    return Event(message, source=source, generation_time=n, seq_number=n, reception_time=n, **more)


def block_of(events: list[Event]) -> Block:
    [made] = encode_blocks([StoredVectors.of(Columns.of(events), commit=1)])
    return Block(made.key, made.value)


def filters(sim: Instance, level: bytes = BLOCK_LEVEL) -> dict[bytes, TextFilter]:
    """Return the filters of a level, by the first key of their block or group."""
    return {
        key[1:]: decode_filter(key, value)
        for key, value in values(sim, TEXTS).items()
        if key.startswith(level)
    }


def assert_whole(sim: Instance) -> None:
    """Assert that each block and group has a filter, and that they are right."""
    assert values(sim, TEXTS).keys() == values(sim, "summaries").keys()
    assert_sound(sim)


def assert_sound(sim: Instance) -> None:
    found = sim.verify()
    assert found is not None
    assert found.faults == ()


@settings(max_examples=200, deadline=None)
@given(TEXTS_OF, TEXTS_OF.filter(bool), TEXTS_OF | st.none(), st.data())
def test_no_text_that_a_block_has_is_excluded(
    message: str, source: str, kind: str | None, data: st.DataObject
) -> None:
    source = source.replace("\0", "") or "S"
    found = text_filter_of(block_of([event(1, message, source, type=kind), event(2, "other")]))
    folded = data.draw(st.sampled_from([message, source, kind or ""])).casefold()
    begin = data.draw(st.integers(0, len(folded)))
    text = folded[begin : data.draw(st.integers(begin, len(folded)))]
    wanted = trigrams([text])
    assert found.may_hold(wanted)
    for level in (BLOCK_LEVEL, GROUP_LEVEL):
        pair = found.encode(level, b"key")
        assert not excludes(*pair, wanted)
        assert decode_filter(*pair).covers(found)
        assert decode_filter(*pair).anything == found.anything


def plainly_hashed(text: bytes) -> set[int]:
    """Return the hashes of the trigrams of a text by their definition, one after the other."""
    threes = [text[at : at + 3] for at in range(len(text) - 2)]
    return {
        sum((byte | 0x20) * factor for byte, factor in zip(three, FACTORS, strict=True)) >> 16 & 0xFFFF
        for three in threes
        if three.isascii()
    }


def bits_of(chunks: list[bytes], space: WorkSpace | None = None) -> set[int]:
    found = TextFilter()
    found.add(chunks, space)
    return set(np.flatnonzero(found._bits).tolist())


BYTES_OF = st.lists(st.sampled_from([*b'abAB 09"[{@`\x7f\0', 0x80, 0xC2, 0xFF]), max_size=40).map(bytes)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(BYTES_OF.filter(is_plain), max_size=4), min_size=1, max_size=3), st.integers(1, 12))
def test_bits_are_those_of_the_definition(parts: list[list[bytes]], piece: int) -> None:
    space = WorkSpace(piece)
    for chunks in parts:  # one after the other in the same memory
        assert bits_of(chunks, space) == set[int]().union(*map(plainly_hashed, chunks))


PIECE = sizes.value("storage.format.text_filters._PIECE_TRIGRAMS")


@pytest.mark.parametrize(
    "size", [*range(5), *(at + off for at in (PIECE, 2 * PIECE) for off in range(-1, 5))]
)
@pytest.mark.parametrize("beyond", [None, 0, 1, 2, 3])
def test_bits_are_right_around_the_end_of_a_piece(size: int, beyond: int | None) -> None:
    """Either all bytes are of ASCII, or all but one of the last four."""
    drawn = random.Random(size).randbytes(size)
    text = bytearray(byte & 0x7F for byte in drawn)
    if beyond is not None and beyond < size:
        text[size - 1 - beyond] |= 0x80
    assert bits_of([bytes(text)]) == plainly_hashed(bytes(text))
    assert bits_of([b"", bytes(text), b"ab"]) == plainly_hashed(bytes(text))


@given(TEXTS_OF.filter(str.isascii))
def test_a_text_is_asked_for_by_the_hashes_of_its_definition(text: str) -> None:
    assert set(trigrams([text])) == plainly_hashed(msgspec.json.encode(text)[1:-1])


def test_a_block_with_a_character_that_folds_to_ascii_may_hold_anything() -> None:
    """Each of them, by the Unicode of this Python."""
    folding = [
        chr(code)
        for code in range(0x80, sys.maxunicode + 1)
        if not 0xD800 <= code < 0xE000 and any(each.isascii() for each in chr(code).casefold())
    ]
    assert {"\u212a", "\u017f", "ß", "\u0130"} <= set(folding)
    for character in folding:
        for where in ({"message": character}, {"source": character}, {"type": character}):
            found = text_filter_of(block_of([event(1, **{"message": "m", **where})]))
            assert found.may_hold(trigrams(["anything"])), (character, where)


def test_a_text_without_three_ascii_characters_in_a_row_excludes_nothing() -> None:
    for text in ("", "ab", "größe", "日本語", "ab\u00e9cd"):
        assert trigrams([text]) == ()
    assert len(trigrams(["grössen"])) == 2
    assert len(trigrams(["abc", "bcd", "abcd"])) == 2
    assert trigrams(["\udc80abc"]) == trigrams(["abc"])


def test_texts_of_events_do_not_join() -> None:
    found = text_filter_of(block_of([event(1, "abc"), event(2, "def")]))
    assert found.may_hold(trigrams(["abc"]))
    assert not found.may_hold(trigrams(["abcd"]))
    assert not found.may_hold(trigrams(["cde"]))


@pytest.mark.parametrize(("share", "kept"), [(0.74, True), (0.75, True), (0.76, False)])
def test_a_filter_in_which_most_bits_are_set_is_not_kept(share: float, kept: bool) -> None:
    found = TextFilter()
    found._bits[: round(share * BITMAP_BYTES * 8)] = True
    read = decode_filter(*found.encode(BLOCK_LEVEL, b"key"))
    assert read.anything != kept
    assert read.covers(found)


def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Note the blocks that are read."""
    read: list[bytes] = []
    stored = block_index.stored_block

    def noted(transaction: Any, blocks: Any, first: bytes) -> bytes:
        read.append(first)
        return stored(transaction, blocks, first)

    monkeypatch.setattr(range_reader, "stored_block", noted)
    return read


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(event(n, f"wheel {n:04}", f"SRC{n // 40}", type=f"KIND{n // 8}") for n in range(160))
        sim.settle()
        yield sim


def test_only_blocks_that_may_have_a_text_are_read(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_whole(sim)
    assert len(filters(sim)) == 20
    assert len(filters(sim, GROUP_LEVEL)) >= 8
    read = reads(monkeypatch)
    for descending in (False, True):
        for asked, wanted, blocks in (
            ({"text": "nothing such"}, 0, 0),
            ({"text": "WHEEL 0077"}, 1, 1),
            ({"filter": "0077"}, 1, 1),
            ({"filter": "type=kind3"}, 8, 1),
            ({"filter": "src2"}, 40, 5),
            ({"filter": "kind"}, 160, 20),
            ({"filter": "message:wheel type:nosuch"}, 0, 0),
            ({"text": "wheel", "sources": ["SRC3"]}, 40, 5),
            ({"text": "77"}, 1, 20),
        ):
            read.clear()
            found = list(sim.events(**asked, descending=descending))
            assert (len(found), len(set(read))) == (wanted, blocks), asked
            assert sim.count(**asked) == wanted


def test_whole_groups_are_passed_over_by_their_filters(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    looked = text_filters.excludes

    def noted(key: bytes, value: bytes, wanted: Any) -> bool:
        asked.append(key)
        return looked(key, value, wanted)

    monkeypatch.setattr("yamcs_archive.storage.read.block_index.excludes", noted)
    assert list(sim.events(text="nothing such")) == []
    grouped = len(filters(sim, GROUP_LEVEL))
    assert len([key for key in asked if key.startswith(GROUP_LEVEL)]) == grouped
    # Of each group one block, and the blocks that are in no group.
    assert len([key for key in asked if key.startswith(BLOCK_LEVEL)]) == grouped + 20 - 2 * grouped


def test_a_change_of_a_block_deletes_its_filter_until_the_next_rest(sim: Instance) -> None:
    before = filters(sim), filters(sim, GROUP_LEVEL)
    store: Any = sim._store
    sim.append(event(1_000_000, "later"))
    sim.append(Event("late gyro", source="L", generation_time=20, seq_number=1))
    store._writer.checkpoint_all()
    blocks, groups = filters(sim), filters(sim, GROUP_LEVEL)
    assert len(before[0].keys() - blocks.keys()) == 1
    assert len(before[1].keys() - groups.keys()) == 1
    assert [found.message for found in sim.events(text="late gyro")] == ["late gyro"]
    assert_sound(sim)
    sim.settle()
    assert_whole(sim)
    assert [found.message for found in sim.events(text="late gyro")] == ["late gyro"]


def test_a_block_that_a_large_run_fills_up_has_no_filter_of_before(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(event(n, "wheel") for n in range(4))
        sim.settle()
        [first] = filters(sim)
        sim.append_many(event(n, "gyro") for n in range(4, 16))
        assert first in values(sim, "blocks")
        assert first not in filters(sim)
        assert len(list(sim.events(text="gyro"))) == 12
        assert_sound(sim)


@pytest.mark.parametrize("way", [Instance.compact, look_when_idle])
def test_filters_are_made_at_every_kind_of_rest(way: Any, tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(event(n, f"wheel {n}") for n in range(80))
        assert values(sim, TEXTS) == {}
        assert len(list(sim.events(text="wheel 7"))) == 11
        way(sim)
        assert_whole(sim)
        assert len(list(sim.events(text="wheel 7"))) == 11


def test_while_commits_come_filters_are_made_but_for_the_newest_blocks(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]
        sim.append_many(event(n, f"wheel {n}") for n in range(320))
        for second in range(10):
            sim.append(event(1_000 + second, "busy"))
            maintenance.look(second * 1_000_000)
        blocks = sorted(values(sim, "blocks"))
        assert filters(sim).keys() == set(blocks[: -making.CHANGING_BLOCKS])
        assert_sound(sim)


def test_after_pruning_filters_are_right(sim: Instance) -> None:
    sim.prune(before=45)
    assert_sound(sim)
    sim.settle()
    assert_whole(sim)
    assert [found.seq_number for found in sim.events(text="wheel 004")] == [45, 46, 47, 48, 49]


def put(sim: Instance, key: bytes, value: bytes) -> None:
    environment = sim._store._environment  # type: ignore[attr-defined]
    with environment.lmdb.begin(write=True) as transaction:
        transaction.put(key, value, db=environment.databases[TEXTS])


@pytest.mark.damaging
@pytest.mark.parametrize("level", [BLOCK_LEVEL, GROUP_LEVEL])
def test_a_filter_that_excludes_what_is_there_is_a_fault(level: bytes, sim: Instance) -> None:
    first = sorted(filters(sim, level))[1]
    put(sim, *TextFilter().encode(level, first))
    found = sim.verify()
    assert found is not None
    assert [fault.where for fault in found.faults][:1] == [f"texts {(level + first).hex()}"]


@pytest.mark.damaging
@pytest.mark.parametrize("level", [BLOCK_LEVEL, GROUP_LEVEL])
def test_a_damaged_filter_excludes_nothing_and_is_made_anew(level: bytes, tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(event(n, f"wheel {n:04}") for n in range(80))
        sim.settle()
        key = level + sorted(filters(sim, level))[1]
        value = values(sim, TEXTS)[key]
        put(sim, key, value[:-1] + bytes([value[-1] ^ 1]))
        assert len(list(sim.events(text="wheel"))) == 80
        found = sim.verify()
        assert found is not None
        assert [fault.where for fault in found.faults] == [f"texts {key.hex()}"]
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim")
        sim.settle()
        assert_whole(sim)


MESSAGES = st.lists(TEXTS_OF, min_size=1, max_size=40)


@settings(max_examples=15, deadline=None)
@given(MESSAGES, MESSAGES, st.lists(TEXTS_OF, min_size=1, max_size=8), st.booleans())
def test_answers_are_those_of_a_plain_scan(
    tmp_path_factory: pytest.TempPathFactory, first: list[str], later: list[str], texts: list[str], rest: bool
) -> None:
    with Archive.open(tmp_path_factory.mktemp("a") / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(event(2 * n, text, type=text[:5].replace("\0", "")) for n, text in enumerate(first))
        sim.settle()
        sim.append_many(event(2 * n + 1, text) for n, text in enumerate(later))
        if rest:
            sim.settle()
        every = list(sim.events())
        parts = [text.casefold()[at : at + 4] for text in first + later for at in (0, 3)]
        for text in (*texts, *filter(None, parts)):
            if text:
                wanted = [each for each in every if text.casefold() in each.message.casefold()]
                assert list(sim.events(text=text)) == wanted
                assert list(sim.events(text=text, descending=True)) == wanted[::-1]
                assert sim.count(text=text) == len(wanted)


@pytest.mark.damaging
def test_a_filter_that_is_damaged_later_keeps_only_its_group_from_having_one(sim: Instance) -> None:
    first, second, *_ = sorted(filters(sim))
    key = BLOCK_LEVEL + first
    value = values(sim, TEXTS)[key]
    sim.append(Event("late", source="L", generation_time=10, seq_number=1))
    put(sim, key, value[:-1] + bytes([value[-1] ^ 1]))
    sim.settle()
    missing = values(sim, "summaries").keys() - values(sim, TEXTS).keys()
    assert missing == {GROUP_LEVEL + first}
    assert [found.message for found in sim.events(text="late")] == ["late"]
    assert second in filters_without_damage(sim)


def filters_without_damage(sim: Instance) -> set[bytes]:
    return {key[1:] for key in values(sim, TEXTS) if key.startswith(BLOCK_LEVEL)}
