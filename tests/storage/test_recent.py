"""Pages are read from cached blocks, and still show the stored events after every change."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.test_damage import damage
from yamcs_archive import Archive, Event, EventKey, Instance, Options
from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import RECENT_BLOCKS_MAX
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.messages import CHUNK_MESSAGES
from yamcs_archive.storage.read import block_cache, range_reader

OPTIONS = Options(block_events_max=16, run_events_min=8, maintenance=False)


def page(sim: Instance, **asked: Any) -> list[int | None]:
    return [event.generation_time for event in sim.events(limit=10, **asked)]


@given(st.lists(st.lists(st.integers(0, 200), max_size=40), max_size=6), st.booleans())
def test_pages_and_single_events_are_right_after_every_change(
    batches: list[list[int]], descending: bool
) -> None:
    stored: set[int] = set()
    with TemporaryDirectory() as directory, Archive.open(Path(directory) / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        for times in batches:
            sim.append_many(Event(f"m{time}", generation_time=time, seq_number=0) for time in times)
            stored.update(times)
            if len(times) % 2:
                sim.settle()
            for start in range(0, 200, 25):
                expected = sorted((time for time in stored if time >= start), reverse=descending)[:10]
                assert page(sim, start=start, descending=descending) == expected
            for time in range(0, 200, 9):
                found = sim.get(EventKey(time, "User", 0))
                assert (found is not None) == (time in stored)


def test_a_page_that_is_asked_for_again_decodes_no_block(sim: Instance, monkeypatch: Any) -> None:
    sim.append_many(Event("m", generation_time=n) for n in range(5000))
    sim.settle()
    first = page(sim, descending=True)
    opened: list[bytes] = []

    class Noted(Block):
        def __init__(self, key: bytes, value: bytes) -> None:
            opened.append(key)
            super().__init__(key, value)

    for module in (range_reader, block_cache):
        monkeypatch.setattr(module, "Block", Noted)
    assert page(sim, descending=True) == first
    assert opened == []
    sim.append_many(Event("late", source="L", generation_time=n) for n in (4990, 4995))
    sim.settle()
    assert 4995 in page(sim, descending=True)
    assert len(opened) == 1
    assert len(list(sim.events())) == 5002  # a read of all events evicts no cached block
    assert page(sim, descending=True)
    assert len(opened) == 2  # the scan opened other blocks


def test_the_block_cache_keeps_no_more_blocks_than_its_limit(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event("m", generation_time=n) for n in range(16 * (RECENT_BLOCKS_MAX + 5)))
        sim.settle()
        for start in range(0, 16 * (RECENT_BLOCKS_MAX + 5), 16):
            assert page(sim, start=start)
        store: Any = sim._store  # there is no public way to look
        assert len(store._blocks._blocks) == RECENT_BLOCKS_MAX


def test_a_damaged_part_that_a_page_does_not_need_stays_of_no_matter(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event("m", generation_time=n) for n in range(2 * CHUNK_MESSAGES))
        sim.settle()
    damage(tmp_path / "a", "blocks", 0, -2)  # in the last chunk
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        for _ in range(3):
            assert page(sim) == list(range(10))
            with pytest.raises(DamagedError):
                page(sim, descending=True)


def test_many_read_one_block_at_once(sim: Instance) -> None:
    sim.append_many(Event(f"m{n}", source=f"S{n % 7}", generation_time=n) for n in range(5000))
    sim.settle()
    expected = list(sim.events(descending=True))[:100]
    begin, wrong = threading.Barrier(8), []

    def read() -> None:
        begin.wait(60)
        for _ in range(5):
            if list(sim.events(descending=True, limit=100)) != expected:
                wrong.append(threading.current_thread())

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)
