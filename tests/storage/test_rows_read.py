"""Rows are read like blocks, in any number; of a row that cannot match, only the key is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.storage.by_hand import as_version_1
from tests.storage.test_damage import damage
from yamcs_archive import Archive, Event, Instance, Options, Severity
from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.read import range_reader


def events(count: int, sources: int) -> list[Event]:
    return [
        Event(
            f"Wheel {n}",
            source=f"S{n % sources}",
            severity=Severity(n % 7),
            type=None if n % 3 else f"T{n % 5}",
            generation_time=n // 4,
            seq_number=n,
            reception_time=n,
            created_by="me" if n % 11 == 0 else None,
            extensions=b"\xa2\x06\x01x" if n % 13 == 0 else b"",
            extra={"a": "b"} if n % 17 == 0 else {},
        )
        for n in range(count)
    ]


QUESTIONS: list[dict[str, Any]] = [
    {},
    {"sources": ["S0"]},
    {"sources": ["S0", "S1", "none"]},
    {"sources": ["none"]},
    {"sources": []},
    {"min_severity": Severity.SEVERE},
    {"text": "WHEEL 1"},
    {"text": "nothing"},
    {"filter": "type=T1"},
    {"sources": ["S1"], "min_severity": Severity.WATCH, "text": "1", "filter": "-type=T1"},
    {"start": 3, "stop": 9, "sources": ["S0"]},
]


def wanted(event: Event, ask: dict[str, Any]) -> bool:
    return (
        event.generation_time in range(ask.get("start", 0), ask.get("stop", 10**9))
        and event.source in ask.get("sources", [event.source])
        and event.severity >= ask.get("min_severity", Severity.INFO)
        and ask.get("text", "").casefold() in event.message.casefold()
        and {"type=T1": event.type == "T1", "-type=T1": event.type != "T1"}.get(ask.get("filter", ""), True)
    )


def check(sim: Instance, stored: list[Event]) -> None:
    stored = sorted(stored, key=lambda event: event.key)
    for ask in QUESTIONS:
        expected = [event for event in stored if wanted(event, ask)]
        assert list(sim.events(**ask)) == expected
        assert list(sim.events(**ask, descending=True)) == expected[::-1]
        assert list(sim.events(**ask, limit=3)) == expected[:3]
        parts = list(sim.event_vectors(**ask))
        assert [event for part in parts for event in part.events()] == expected
        assert all(part.size for part in parts)
        if ask.keys() <= {"start", "stop", "sources"}:
            assert sum(stretch.events for stretch in sim.histogram(**ask)) == len(expected)


@pytest.mark.parametrize("sources", [1, 2, 300])
@pytest.mark.parametrize("together", [-1, 0, 1])
def test_rows_are_read_alone_and_beside_blocks(tmp_path: Path, sources: int, together: int) -> None:
    """Numbers of rows in a read just below and at the number of young events of a first slice."""
    options = Options(
        maintenance=False,
        block_events_max=50,
        run_events_min=10**6,
        read_events_max=range_reader._FIRST_YOUNG + together,
    )
    given = events(400, sources)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(given[::2])
        check(sim, given[::2])
        sim.settle()
        sim.append_many(given[1::2])
        check(sim, given)


@pytest.mark.parametrize("at_once", [10, 100], ids=["named in summaries", "hashed"])
def test_many_sources_can_be_queried_at_once(tmp_path: Path, at_once: int) -> None:
    options = Options(maintenance=False, block_events_max=at_once, run_events_min=5)
    stored = [
        Event("m", source=f"S{n * 7 % 400}", generation_time=n, seq_number=n, reception_time=n)
        for n in range(800)
    ]
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(stored[:780])
        for event in stored[780:]:
            sim.append(event)  # rows
        for count in (0, 1, 4, 5, 60, 256, 257, 400):
            names = {f"S{n}" for n in range(count)}
            for asked in (names, {*names, *(f"T{n}" for n in range(300))}):
                expected = [event for event in stored if event.source in names]
                assert list(sim.events(sources=asked)) == expected
                assert sum(part.size for part in sim.event_vectors(sources=asked)) == len(expected)
                assert sum(stretch.events for stretch in sim.histogram(sources=asked)) == len(expected)


@pytest.mark.parametrize("count", [1, 63, 64, 65])
def test_a_damaged_row_of_version_1_is_told_or_left_out_on_request(tmp_path: Path, count: int) -> None:
    options = Options(maintenance=False, run_events_min=10**6)
    given = events(2 * count, 2)
    with Archive.open(tmp_path / "a", options=options) as archive:
        archive.instance("sim", create=True).append_many(given)
    as_version_1(tmp_path / "a")
    damage(tmp_path / "a", "rows", 0, -1, keep_young=True)  # of S0
    with Archive.open(tmp_path / "a", readonly=True, options=options) as archive:
        sim = archive.instance("sim")
        met: list[DamagedError] = []
        for source, left in (("S0", count - 1), ("S1", count)):
            expected = [event for event in given if event.source == source][count - left :]
            found = sim.events(sources=[source], skip_damaged=met.append)
            assert sorted(found, key=lambda event: event.key) == expected
            vectors = sim.event_vectors(sources=[source], skip_damaged=True)
            assert sum(part.size for part in vectors) == left
            stretches = sim.histogram(sources=[source], skip_damaged=True)
            assert sum(stretch.events for stretch in stretches) == left
        assert {(error.first, error.last, error.events) for error in met} == {(given[0].key, given[0].key, 1)}
        for ask in (["S0"], ["S1"], None):
            for read in (sim.events, sim.event_vectors, sim.histogram):
                with pytest.raises(DamagedError, match="rows"):
                    list(read(sources=ask))


def test_a_damaged_row_of_version_1_stops_nothing_once_it_is_version_2(tmp_path: Path) -> None:
    options = Options(maintenance=False, run_events_min=10**6)
    given = events(20, 2)
    with Archive.open(tmp_path / "a", options=options) as archive:
        archive.instance("sim", create=True).append_many(given)
    as_version_1(tmp_path / "a")
    damage(tmp_path / "a", "rows", 0, -1, keep_young=True)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim")
        assert sorted(sim.events(), key=lambda event: event.seq_number) == given[1:]
        assert not sim.append(Event("next", source="S0")).duplicate
