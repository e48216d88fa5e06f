"""Large events in blocks: every frame can be read, and this is checked before the rows are deleted."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden import large
from tests.golden.reader import read
from tests.storage.test_damage import values, young
from tests.test_golden import as_plain
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.columns import TABLE_TEXT_MAX
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import BLOCK_FRAME_BYTES_MAX, BLOCK_TEXT_BYTES_MAX, SOURCE_BYTES_MAX
from yamcs_archive.storage.format import block_part_encoder, compression
from yamcs_archive.storage.format.block import Block, encode_blocks
from yamcs_archive.storage.write.placement import split_into_blocks
from yamcs_archive.storage.write.validation import prepare
from yamcs_archive.storage.young import views

OPTIONS = Options(run_events_min=16, late_share=1, maintenance=False)
MIB = 1 << 20


def in_order(count: int) -> list[Event]:
    return [Event(f"m{n}", source="S", generation_time=n * 10, seq_number=n) for n in range(count)]


def late(n: int, message: str, **more: Any) -> Event:
    time = n * 10 + 5
    return Event(message, source="Late", generation_time=time, seq_number=n, reception_time=time, **more)


def blocks(sim: Instance) -> list[Block]:
    return [Block(*pair) for pair in values(sim, "blocks").items()]


def frames_are_bounded(sim: Instance) -> bool:
    return all(
        part.largest_frame_bytes <= BLOCK_FRAME_BYTES_MAX for block in blocks(sim) for part in block.parts
    )


def look_when_idle(sim: Instance) -> None:
    maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # what its thread would do
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "TABLE_EVENTS_LEFT_MAX", 0)  # as if there were many
        for second in (0, 61):
            maintenance.look(second * 1_000_000)


WAYS: dict[str, Callable[[Instance], object]] = {
    "settle": Instance.settle,
    "compact": Instance.compact,
    "a look when idle": look_when_idle,
}


def bounded_by(bound: int) -> Any:
    """Replace the bound of 16 MiB by a small one, which small texts reach."""
    return patch.multiple(compression, BLOCK_FRAME_BYTES_MAX=bound), patch.multiple(
        block_part_encoder, BLOCK_FRAME_BYTES_MAX=bound
    )


ODD_TEXTS = st.text(st.sampled_from('a\x01"\\é\U0001f680'), max_size=80)


@st.composite
def odd_events(draw: st.DrawFn) -> StoredVectors:
    """Events with texts of many bytes per character, nearly all of them different."""
    events = [
        Event(
            draw(ODD_TEXTS),
            source=draw(ODD_TEXTS.filter(bool)),
            type=draw(st.none() | ODD_TEXTS),
            created_by=draw(st.none() | ODD_TEXTS),
            generation_time=n,
            seq_number=draw(st.integers(-(2**31), 2**31 - 1)),
            reception_time=draw(st.integers(-(2**55), 2**55)),
            extensions=draw(st.binary(max_size=2)) and b"\xa0\x06\x01",
            extra=draw(st.dictionaries(ODD_TEXTS, ODD_TEXTS, max_size=4)),
        )
        for n in range(draw(st.integers(1, 20)))
    ]
    return StoredVectors.of(prepare(events, int), commit=1)


@settings(max_examples=60, deadline=None)
@given(odd_events(), st.integers(100, 20_000))
def test_no_frame_is_larger_than_its_bound(events: StoredVectors, bound: int) -> None:
    one, other = bounded_by(bound)
    with one, other:
        if block_part_encoder.fits(events, events.text_bytes()):
            encode_blocks([events])


@settings(max_examples=25, deadline=None)
@given(odd_events(), st.integers(8_000, 20_000))
def test_events_cut_into_blocks_can_be_written_and_are_complete(events: StoredVectors, bound: int) -> None:
    one, other = bounded_by(bound)
    with one, other:
        runs = list(split_into_blocks(events, Options(block_events_max=20)))
        made = encode_blocks(runs)
    read_again = [event for block in made for event in Block(block.key, block.value).events.events()]
    assert read_again == list(events.events())


@pytest.mark.parametrize(
    ("bound", "sizes"), [(400_000, [1] * 7), (600_000, [2, 2, 1, 2]), (800_000, [2, 2, 3])]
)
def test_text_with_more_bytes_than_characters_is_cut_by_bytes(bound: int, sizes: list[int]) -> None:
    """Each event has 40,000 characters in 240,000 bytes; by characters alone, a block would get five."""
    events = StoredVectors.of(
        prepare([Event("\x01" * 40_000, seq_number=n) for n in range(7)], int), commit=1
    )
    one, other = bounded_by(bound)
    with one, other:
        runs = list(split_into_blocks(events, Options(block_text_bytes_max=200_000)))
        assert encode_blocks(runs)
    assert [part.size for part in runs] == sizes


@pytest.mark.parametrize("above", [-1, 0, 1])
def test_a_frame_at_the_bound_is_written_and_one_above_it_is_refused(above: int) -> None:
    raw = bytes(BLOCK_FRAME_BYTES_MAX + above)
    if above > 0:
        with pytest.raises(RuntimeError, match="above the limit"):
            compression.compressed([raw])
    else:
        [frame] = compression.compressed([raw])
        assert compression.decompressed(frame, len(raw)) == raw


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("above", "kept_beside"), [(-1, True), (0, True), (1, False)])
def test_late_events_stay_in_the_late_part_until_their_text_would_fill_a_block(
    tmp_path: Path, way: str, above: int, kept_beside: bool
) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(in_order(100))
        sim.append(late(0, "L" * (BLOCK_TEXT_BYTES_MAX // 2)))
        sim.append(late(1, "L" * (BLOCK_TEXT_BYTES_MAX // 2 + above)))
        expected = list(sim.events())
        WAYS[way](sim)
        assert young(sim) == 0
        assert [len(block.parts) for block in blocks(sim)] == ([2] if kept_beside else [1] * len(blocks(sim)))
        assert list(sim.events()) == expected


LATE = {
    "letters": [late(n, "L" * 1_000_000) for n in range(20)],
    "control characters": [late(n, "\x01" * MIB) for n in range(3)],
    "extra": [late(n, "m", extra={"dump": "x" * 250_000}) for n in range(70)],
    "many": [late(n, "L" * 30_000) for n in range(90)],
    "types and users": [
        late(n, "m", type=f"{n}" + "\U0001f680" * 8_000, created_by=f"{n}" + "\U0001f680" * 8_000)
        for n in range(90)
    ],
}


@pytest.mark.parametrize("kind", LATE)
def test_large_late_events_can_be_read_after_every_kind_of_maintenance(tmp_path: Path, kind: str) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(in_order(100))
        assert sim.append_many(LATE[kind]).stored == len(LATE[kind])
        expected, arrived = list(sim.events()), list(sim.changes())
        for way in WAYS.values():
            way(sim)
            assert young(sim) == 0
            assert frames_are_bounded(sim)
            assert list(sim.events()) == expected
        assert sim.append_many(LATE[kind]).duplicates == len(LATE[kind])
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        sim = archive.instance("sim")
        assert list(sim.events()) == expected
        assert list(sim.changes()) == arrived
        assert sim.get(LATE[kind][-1].key) in expected


def test_the_largest_blocks_that_may_be_chosen_are_read_again(tmp_path: Path) -> None:
    """Texts in the tables of a block do not count as text, so tens of thousands of them are above 16 MiB."""
    options = Options(block_events_max=1 << 15, block_text_bytes_max=2 << 20, maintenance=False)

    def text(kind: str, n: int, characters: int) -> str:
        return "".join(chr(0x1F600 + int(digit)) for digit in f"{n:06}").ljust(characters, kind)

    def event(n: int) -> Event:
        return Event(
            "\x01" * 64,
            source=text("\U0001f680", n, SOURCE_BYTES_MAX // 4),
            type=text("\U0001f681", n, TABLE_TEXT_MAX),
            created_by=text("\U0001f682", n, TABLE_TEXT_MAX),
            generation_time=n,
            seq_number=n,
            reception_time=n,
        )

    count = options.block_events_max
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(map(event, range(count - 100)))  # filled up from chunk to chunk
        for n in range(count - 100, count):
            sim.append(event(n))
        sim.settle()
        assert young(sim) == 0
        assert frames_are_bounded(sim)
        assert list(sim.events()) == [event(n) for n in range(count)]


def test_a_block_of_which_other_columns_than_text_are_too_large_is_cut_smaller(tmp_path: Path) -> None:
    one, other = bounded_by(9_000)  # a text filter has 8,192 bytes
    events = [
        Event("m", type=f"{n:064}", created_by=f"{n:064}", generation_time=n, seq_number=n, reception_time=n)
        for n in range(300)
    ]
    with one, other, Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events)
        sim.settle()
        assert young(sim) == 0
        largest = [part.largest_frame_bytes for block in blocks(sim) for part in block.parts]
        assert max(largest) <= 9_000
        assert len(largest) < 100  # halved until it fits, and no more often
        assert list(sim.events()) == events


def spoiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make frames that contain a certain word wrongly."""
    made = compression.compressed
    monkeypatch.setattr(
        block_part_encoder,
        "compressed",
        lambda raw: made([bytes(each).replace(b"poison", b"potion") for each in raw]),
    )


@pytest.mark.parametrize("beside", [False, True])
def test_events_stay_young_where_the_block_made_of_them_reads_otherwise(
    tmp_path: Path, beside: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = Options(block_events_max=16, run_events_min=16, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(in_order(64))  # four full blocks
        sim.append(late(3, "poison") if beside else Event("poison", generation_time=10_000))
        sim.append(late(20, "sound"))
        expected = list(sim.events())
        spoiling(monkeypatch)
        with caplog.at_level(logging.WARNING):
            sim.settle()
            sim.settle()
        assert list(sim.events()) == expected
        assert young(sim) == 1
        [told] = [record.message for record in caplog.records]
        assert "reads back as other events" in told
        monkeypatch.undo()
        sim.settle()
        assert young(sim) == 0
        assert list(sim.events()) == expected


def test_a_partial_block_stays_where_the_one_made_of_it_reads_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(block_events_max=64, run_events_min=8, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        events = in_order(40)
        sim.append_many([Event("poison", generation_time=-1), *events[:15]])
        expected = list(sim.events())
        spoiling(monkeypatch)
        with pytest.raises(RuntimeError, match="does not hold them"):
            sim.append_many(events[15:])
        assert list(sim.events()) == expected
        monkeypatch.undo()
        assert sim.append_many(events[15:]).stored == 25
        assert len(list(sim.events())) == 41


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """An archive with frames above 16 MiB, written by a version that could not read them."""
    shutil.copytree(large.DIRECTORY, tmp_path / "golden")
    return tmp_path / "golden"


@pytest.mark.parametrize("name", large.INSTANCES)
def test_blocks_that_were_written_too_large_are_read(name: str, golden: Path) -> None:
    expected = large.events(name)
    found = [{**each, "commit": None} for each in read(golden / name)["events"]]
    assert found == [{**as_plain(event), "commit": None} for event in expected]
    with Archive.open(golden, readonly=True) as archive:
        sim = archive.instance(name)
        assert not frames_are_bounded(sim)
        assert list(sim.events()) == expected
        assert list(sim.events(descending=True, limit=10)) == expected[:-11:-1]
        assert [change.event for change in sim.changes()] == large.in_order() + large.late(name)
        assert sim.get(large.late(name)[-1].key) == large.late(name)[-1]


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, marks=[pytest.mark.long] if (turn + other) % len(WAYS) else [])
        for turn, name in enumerate(large.INSTANCES)
        for other, way in enumerate(WAYS)
    ],
)
def test_blocks_that_were_written_too_large_are_cut_anew(name: str, way: str, golden: Path) -> None:
    expected, arrived = large.events(name), large.in_order() + large.late(name)
    more = [late(n, "more") for n in (80, 81)]
    with Archive.open(golden, options=OPTIONS) as archive:
        sim = archive.instance(name)
        assert sim.append_many(large.late(name)).duplicates == len(large.late(name))
        sim.append_many(more)
        WAYS[way](sim)
        assert young(sim) == 0
        assert frames_are_bounded(sim)
        assert list(sim.events()) == sorted([*expected, *more], key=lambda event: event.key)
        assert [change.event for change in sim.changes()] == arrived + more
    assert len(read(golden / name)["events"]) == len(expected) + 2


def test_a_block_that_was_written_too_large_can_be_filled_up(golden: Path) -> None:
    """The next bulk append fills it up, because it is not full."""
    following = [
        Event("after", source="S", generation_time=10_000 + n, seq_number=n, reception_time=0)
        for n in range(300)
    ]
    with Archive.open(golden, options=Options(run_events_min=16, maintenance=False)) as archive:
        sim = archive.instance("messages")
        assert sim.append_many(following).stored == 300
        assert list(sim.events()) == large.events("messages") + following
        sim.settle()
        assert frames_are_bounded(sim)
