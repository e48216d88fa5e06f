"""Zone maps of blocks and groups count their events by severity, exactly, after any change."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.golden.make import HERE
from tests.storage.test_damage import values
from tests.storage.test_large import look_when_idle
from yamcs_archive import Archive, Event, Instance, Options, Severity
from yamcs_archive.storage.format.block import Block, zone_map_of
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    GROUP_LEVEL,
    ZoneMap,
    decode_zone_map,
    encode_zone_map,
)
from yamcs_archive.storage.maintain import groups as group_closing
from yamcs_archive.storage.maintain import repair

OPTIONS = Options(block_events_max=8, run_events_min=4, late_share=1, maintenance=False)
SEVERITIES = tuple(Severity)


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_closing, "GROUP_BLOCKS_MAX", 2)


def zone_maps(sim: Instance, level: bytes) -> list[ZoneMap]:
    found = (decode_zone_map(*pair) for pair in values(sim, "summaries").items() if pair[0][:1] == level)
    return list(found)


def assert_exact(sim: Instance, groups_min: int = 1) -> None:
    """Assert that the counts of all zone maps are those of the events within their ranges."""
    blocks = [Block(*pair) for pair in values(sim, "blocks").items()]
    found = zone_maps(sim, BLOCK_LEVEL)
    assert [each.severity_counts for each in found] == [
        zone_map_of(block).severity_counts for block in blocks
    ]
    groups = zone_maps(sim, GROUP_LEVEL)
    assert len(groups) >= groups_min
    for group in groups:
        within = [each for each in found if group.first <= each.first <= group.last]
        assert group.events == sum(each.events for each in within)
        assert group.severity_counts == ZoneMap.merge(within).severity_counts


def events(times: range, source: str, chosen: random.Random) -> list[Event]:
    return [
        Event(f"{time}", source=source, generation_time=time, severity=chosen.choice(SEVERITIES))
        for time in times
    ]


@pytest.mark.parametrize("seed", range(8))
def test_counts_are_exact_after_late_events_of_any_number(seed: int, tmp_path: Path) -> None:
    chosen = random.Random(seed)
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events(range(0, 8_000, 100), "S", chosen))
        sim.settle()
        assert_exact(sim, groups_min=3)
        for turn in range(6):
            begin = chosen.randrange(8_000)
            step = chosen.choice((1, 7, 400))  # within one block, within a group, over groups
            sim.append_many(
                events(range(begin, begin + step * chosen.choice((1, 5, 40)), step), f"L{turn}", chosen)
            )
            sim.settle()
            assert_exact(sim)
        found = sim.verify()
        assert found is not None
        assert found.faults == ()


@pytest.mark.parametrize("way", [Instance.settle, Instance.compact, look_when_idle])
def test_zone_maps_of_earlier_versions_are_made_anew(way: Any, tmp_path: Path) -> None:
    for golden in ("forms/archive", "archive"):
        shutil.copytree(HERE / "v1" / golden, tmp_path / golden)
        name = "forms" if golden.startswith("forms") else "sim"
        with Archive.open(tmp_path / golden, options=OPTIONS) as archive:
            instance = archive.instance(name)
            # Blocks that took in the rows of version 1 have counts already.
            assert not all(each.severity_counts for each in zone_maps(instance, BLOCK_LEVEL))
            before = list(instance.events())
            found = instance.verify()
            assert found is not None
            assert found.faults == ()  # they are no fault
            way(instance)
            assert_exact(instance)
            assert list(instance.events()) == before


@pytest.mark.parametrize(("read", "counted"), [(1, 1), (3, 1), (3, 2), (3, 3), (3, 4), (1_000, 2)])
def test_zone_maps_are_counted_in_steps_of_any_size(
    read: int, counted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "_BLOCKS_READ_MAX", read)
    monkeypatch.setattr(repair, "_COUNTED_AT_ONCE", counted)
    shutil.copytree(HERE / "v1" / "forms" / "archive", tmp_path / "a")
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        forms = archive.instance("forms")
        assert len(zone_maps(forms, BLOCK_LEVEL)) > 4
        forms.settle()
        assert_exact(forms)


def test_an_event_that_arrives_before_zone_maps_are_made_anew_is_counted(tmp_path: Path) -> None:
    shutil.copytree(HERE / "v1" / "forms" / "archive", tmp_path / "a")
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        forms = archive.instance("forms")
        times = [event.generation_time for event in forms.events()]
        middle = times[len(times) // 2] or 0
        forms.append_many(
            Event(f"{n}", source="new", generation_time=middle + n, severity=Severity.WATCH)
            for n in range(64)
        )
        forms.settle()
        assert_exact(forms)


@pytest.mark.parametrize("changed_meanwhile", [False, True])
def test_a_zone_map_that_changes_meanwhile_is_left(
    changed_meanwhile: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(HERE / "v1" / "archive", tmp_path / "a")
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim")
        wrong = repair.put_zone_maps

        def put(changes: Any, stored: Any) -> None:
            cut = [change._replace(value=b"") for change in changes] if changed_meanwhile else changes
            wrong(cut, stored)

        monkeypatch.setattr(repair, "put_zone_maps", put)
        sim.settle()
        counted = [bool(each.severity_counts) for each in zone_maps(sim, BLOCK_LEVEL)]
        assert all(counted) != changed_meanwhile


@pytest.mark.damaging
@pytest.mark.parametrize("level", [BLOCK_LEVEL, GROUP_LEVEL])
def test_wrong_counts_are_a_fault(level: bytes, tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events(range(0, 8_000, 100), "S", random.Random(1)))
        sim.settle()
        store: Any = sim._store
        environment = store._environment
        zone_map = zone_maps(sim, level)[1]
        counts = list(zone_map.severity_counts)
        at = next(code for code, count in enumerate(counts) if count)
        counts[at] -= 1
        counts[(at + 1) % len(counts)] += 1
        key, value = encode_zone_map(level, zone_map._replace(severities=127, severity_counts=tuple(counts)))
        with environment.lmdb.begin(write=True) as transaction:
            transaction.put(key, value, db=environment.databases["summaries"])
        found = sim.verify()
        assert found is not None
        assert {fault.where.split()[0] for fault in found.faults} == {"summaries"}
