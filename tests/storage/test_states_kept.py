"""The writer's memory of source states is bounded, by every way in, and no state is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.event import as_stored
from yamcs_archive.results import Commit, MirrorState
from yamcs_archive.storage.write import source_cache

KEPT_MAX = 40


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_cache, "_SOURCES_CACHED_MAX", KEPT_MAX)


def kept(sim: Instance) -> int:
    sources = sim._store._writer._state.sources  # type: ignore[attr-defined]  # nothing else says it
    return len(sources.states)


def lot(first: int, count: int = 15, message: str = "m") -> list[Event]:
    return [
        Event(message, source=f"S{n}", generation_time=n, seq_number=n, reception_time=n)
        for n in range(first, first + count)
    ]


@pytest.mark.parametrize("way", ["append", "append_many", "take_over"])
def test_states_of_new_sources_are_bounded(archive: Archive, sim: Instance, way: str) -> None:
    for first in range(0, 150, 15):
        if way == "append":
            for event in lot(first):
                sim.append(event)
        elif way == "append_many":
            sim.append_many(lot(first))
        else:
            state = MirrorState("http://127.0.0.1:8090", "sim", f"c{first}")
            sim.take_over([Commit(5, tuple(map(as_stored, lot(first))), "c")], state)
        assert kept(sim) <= KEPT_MAX
    assert {name: source.events for name, source in sim.stats().sources.items()} == {
        f"S{n}": 1 for n in range(150)
    }


@pytest.mark.parametrize("message", ["m", "another"], ids=["duplicates", "conflicts"])
def test_states_of_sources_without_stored_events_are_bounded(tmp_path: Path, message: str) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(lot(0, 150))
        for times in (1, 2):
            for first in range(0, 150, 15):
                sim.append_many(lot(first, message=message))
                assert kept(sim) <= KEPT_MAX + 15
            refused = [source.duplicates + source.conflicts for source in sim.stats().sources.values()]
            assert refused == [times] * 150
        head = sim.cursor()
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim")
        assert [source.duplicates + source.conflicts for source in sim.stats().sources.values()] == [2] * 150
        assert sim.cursor() == head
        assert list(sim.events()) == sorted(lot(0, 150), key=lambda event: event.key)
