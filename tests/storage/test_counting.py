"""Counting gives the number of events that events() yields, for every query and in every form of storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from yamcs_archive import Archive, Event, Instance, Options, Severity
from yamcs_archive.errors import BadTimeError, ClosedError, FilterError, InvalidInputError
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.read import event_count

SMALL = Options(block_events_max=7, run_events_min=3, read_events_max=4, maintenance=False)

SELECTIONS: list[dict[str, Any]] = [
    {},
    {"start": 20},
    {"stop": 20},
    {"start": 13, "stop": 55},
    {"start": 30, "stop": 30},
    {"sources": ["S0"]},
    {"sources": ["S1", "S2", "nosuch"]},
    {"sources": []},
    {"sources": ["S1"], "start": 21},
    {"min_severity": Severity.INFO},
    {"min_severity": Severity.WARNING, "stop": 60},
    {"text": "EVENT 1"},
    {"text": "event 1", "sources": ["S2"], "min_severity": Severity.WATCH},
    {"text": "nothing"},
    {"filter": "source=S1"},
    {"filter": 'message =~ ".*5"', "start": 9},
    {"filter": "source=S1 AND source=S2"},
    {"filter": "seqNumber > 3"},
]


def history(commit: int) -> Iterator[Event]:
    """Runs in order and single events, some of them late, for blocks and rows."""
    for m in range(8 if commit % 3 == 0 else 1):
        n = 10 * commit + m
        yield Event(
            f"event {n}",
            source=f"S{n % 3}",
            severity=Severity(n % 6),
            generation_time=n - (35 if commit % 4 == 1 else 0),
            seq_number=n,
        )


def check(sim: Instance) -> None:
    for selection in SELECTIONS:
        assert sim.count(**selection) == sum(1 for _ in sim.events(**selection)), selection
    assert sim.count() == sim.stats().events


def fill(sim: Instance) -> None:
    for commit in range(12):
        sim.append_many(history(commit))


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        fill(sim)
        yield sim


def test_the_count_is_that_of_events_in_every_form_of_storage(filled: Instance) -> None:
    check(filled)
    assert filled.append_many(history(3)).duplicates == 8
    assert filled.append_many([Event("other", source="S1", generation_time=1, seq_number=1)]).conflict_count
    check(filled)
    filled.settle()
    check(filled)
    filled.append_many(history(13))
    check(filled)
    filled.compact()
    check(filled)


def test_an_empty_instance_has_none(sim: Instance) -> None:
    check(sim)
    assert sim.count() == 0


@pytest.mark.parametrize("few", [0, 500])
def test_pruned_events_are_not_counted(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(event_count, "_SOURCES_FEW", few)
    fill(sim)
    whole = sim.count()
    sim.prune(before=30)
    for _ in range(2):
        for selection in SELECTIONS:
            assert sim.count(**selection) == sum(1 for _ in sim.events(**selection)), selection
        assert 0 < sim.count() < whole
        sim.append(Event("after", source="S1"))  # its number is added to the sum that is kept


@pytest.mark.parametrize("sources", [1, 2, 3, 4])
@pytest.mark.parametrize("between", [0, 1, 2, 3, 4, 9])
def test_a_sum_that_is_kept_is_the_sum_of_all(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, sources: int, between: int
) -> None:
    """Numbers of sources, and of commits since the last count: one below each threshold, at it, and above."""
    monkeypatch.setattr(event_count, "_SOURCES_FEW", 2)
    monkeypatch.setattr(event_count, "_RECORDS_MAX", 3)
    for n in range(sources):
        sim.append_many([Event("a", source=f"S{n}"), Event("b", source=f"S{n}")])
    assert sim.count() == 2 * sources
    for n in range(between):
        sim.append_many([Event("c", source="S0"), Event("d", source="S0"), Event("e", source="S0")])
        if n == 5:
            sim.settle()  # its commit is packed with later ones
    assert sim.count() == 2 * sources + 3 * between
    assert sim.count(sources=["S0"]) == 2 + 3 * between
    assert sim.count() == sim.stats().events


def test_a_sum_that_is_kept_is_used(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_count, "_SOURCES_FEW", 1)
    sim.append_many([Event("a", source="S"), Event("b", source="T")])
    sim.settle()
    assert sim.count() == 2
    monkeypatch.delattr(event_count, "decode_source")  # adding up would need it
    assert sim.count() == 2
    sim.append(Event("c"))
    assert sim.count() == 3
    for n in range(5):
        sim.append(Event(f"{n}"))
    sim.settle()  # its commit is packed with earlier and later ones
    sim.append(Event("after the pack"))
    assert sim.count() == 9


def test_a_sum_that_begins_at_a_packed_record_is_used(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_count, "_SOURCES_FEW", 1)
    sim.append_many([Event("a", source="S"), Event("b", source="T")])
    sim.append(Event("c", source="S"))
    sim.settle()
    assert sim.count() == 3
    monkeypatch.delattr(event_count, "decode_source")
    assert sim.count() == 3


def test_a_sum_of_another_history_is_not_used(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a failed commit that readers may have seen, and another commit with its number."""
    monkeypatch.setattr(event_count, "_SOURCES_FEW", 0)
    for n in range(3):
        sim.append(Event(f"{n}", source=f"S{n}"))
        sim._store._writer.checkpoint_all()  # type: ignore[attr-defined]  # each commit keeps its record
    counter: Any = sim._store._counter  # type: ignore[attr-defined]  # below every public door
    for change in ({"fingerprint": 7}, {"commit": 2}, {"commit": 4}, {"commit": 400}):
        assert sim.count() == 3
        counter._known = counter._known._replace(events=50, **change)
    assert sim.count() == 3


def test_it_ends_where_it_is_given_up(filled: Instance) -> None:
    asked = iter([False, True])
    assert 0 < filled.count(stop=100, cancelled=lambda: next(asked)) < filled.count(stop=100)


def test_of_blocks_that_are_wanted_whole_nothing_is_decoded(
    filled: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.settle()
    count = filled.count()

    def fail(_: Block) -> Any:
        raise AssertionError("it was decoded")

    for column in ("times", "sources", "severities", "events"):
        monkeypatch.setattr(Block, column, property(fail))
    assert filled.count(start=-100, stop=1000) == count


@pytest.mark.parametrize("name", ["", "x" * 255, "x" * 256, "x" * 512, "\0"])
def test_a_name_that_no_source_has_counts_nothing(sim: Instance, name: str) -> None:
    sim.append_many(Event("a", source="S", generation_time=n) for n in range(3))
    for sources in ([name], [name, "S"]):
        assert sim.count(sources=sources) == len(list(sim.events(sources=sources))) == 3 * (len(sources) - 1)
        assert sim.count(sources=sources, start=0) == 3 * (len(sources) - 1)


def test_bad_arguments_are_refused_as_events_refuses_them(archive: Archive, sim: Instance) -> None:
    for error, selection in (
        (InvalidInputError, {"sources": "S"}),
        (InvalidInputError, {"min_severity": 7}),
        (InvalidInputError, {"text": 5}),
        (BadTimeError, {"start": "yesterday"}),
        (FilterError, {"filter": "nosuch=1"}),
    ):
        bad: dict[str, Any] = selection
        with pytest.raises(error):
            sim.count(**bad)
    archive.close()
    with pytest.raises(ClosedError):
        sim.count()


def test_a_reading_process_counts_the_events_of_another_process(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        with Archive.open(tmp_path / "a", readonly=True) as beside:
            reading = beside.instance("sim")
            for n in range(3):
                assert reading.count() == n
                sim.append(Event(f"{n}"))
