"""What queries found in blocks is kept where it is few, and answers are still those of the stored events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Archive, Event, Instance, Options, Severity
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.read.few_found import ANSWERS_MAX, CHARACTERS_MAX, FEW_MAX, SOURCES_MAX

OPTIONS = Options(block_events_max=16, run_events_min=8, maintenance=False)
SEVERITIES = (Severity.INFO, Severity.WARNING, Severity.SEVERE)
ASKED: tuple[dict[str, Any], ...] = (
    {"sources": ["A"]},
    {"sources": ["A", "B"]},
    {"min_severity": Severity.WARNING},
    {"min_severity": Severity.SEVERE, "sources": ["A"]},
    {"text": "M7"},
    {"text": "m1", "sources": ["B"]},
    {"text": "nowhere"},
)


def wanted(event: Event, asked: dict[str, Any]) -> bool:
    return (
        event.source in asked.get("sources", [event.source])
        and event.severity >= asked.get("min_severity", Severity.INFO)
        and asked.get("text", "").casefold() in event.message
    )


def event_at(time: int, number: int) -> Event:
    source, severity = "ABCC"[time % 4], SEVERITIES[time % 3]
    return Event(f"m{time}", source, severity, generation_time=time, seq_number=number)


@given(st.lists(st.lists(st.integers(0, 99), max_size=40, unique=True), max_size=5), st.integers(0, 99))
def test_answers_are_right_after_every_change(batches: list[list[int]], bound: int) -> None:
    """Each query is asked twice after each batch, so every second answer may be one that was kept."""
    with TemporaryDirectory() as directory, Archive.open(Path(directory) / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        for number, times in enumerate(batches):
            sim.append_many(event_at(time, number) for time in times)
            if len(times) % 2:
                sim.settle()
            if len(times) % 5 == 1:
                sim.prune(before=bound // 2)
            every = list(sim.events())
            for asked in 2 * ASKED:
                right = [event for event in every if wanted(event, asked)]
                above = [event for event in right if event.generation_time >= bound]
                assert list(sim.events(**asked)) == right
                assert list(sim.events(**asked, descending=True)) == right[::-1]
                assert list(sim.events(**asked, start=bound, descending=True, limit=3)) == above[::-1][:3]
                assert list(sim.events(**asked, start=bound)) == above


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of events that are built out of blocks, one for each block that is decoded."""
    numbers: list[int] = []
    some_events = Block.some_events

    def noted(block: Block, indexes: Any, *, descending: bool = False) -> Iterator[Event]:
        numbers.append(len(indexes))
        return some_events(block, indexes, descending=descending)

    monkeypatch.setattr(Block, "some_events", noted)
    return numbers


def filled(sim: Instance, rare: int, **more: Any) -> None:
    """Store a block with some events of a rare source."""
    sim.append_many(
        Event("m", "Rare" if n < rare else "S", generation_time=n, seq_number=n, **more) for n in range(64)
    )
    sim.settle()


@pytest.mark.parametrize(("rare", "kept"), [(0, True), (1, True), (FEW_MAX, True), (FEW_MAX + 1, False)])
def test_a_query_that_finds_few_events_decodes_a_block_once(
    sim: Instance, built: list[int], rare: int, kept: bool
) -> None:
    filled(sim, rare)
    asked: dict[str, Any] = {"sources": ["Rare", "None"]}
    first = list(sim.events(**asked, limit=100))
    assert len(first) == rare
    built.clear()
    for _ in range(2):
        assert list(sim.events(**asked, limit=100)) == first
        assert list(sim.events(**asked, descending=True)) == first[::-1]
        assert list(sim.events(**asked, limit=3)) == first[:3]
    assert (built == []) == kept
    if 0 < rare <= FEW_MAX:
        sim.append(Event("late", "Rare", generation_time=10, seq_number=1_000))
        sim.settle()
        assert [event.message for event in sim.events(**asked)] == [*["m"] * rare, "late"]
        assert built == [rare + 1]


def test_a_query_for_fewer_events_than_a_block_has_builds_no_more(sim: Instance, built: list[int]) -> None:
    filled(sim, FEW_MAX)
    for _ in range(2):
        assert len(list(sim.events(sources=["Rare"], limit=2))) == 2
    assert built == [2, 2]


@pytest.mark.parametrize(("characters", "kept"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("extensions", [0, 9])
def test_large_events_are_not_kept(
    sim: Instance, built: list[int], characters: int, kept: bool, extensions: int
) -> None:
    # The field 200, of wire type 2.
    packed = bytes([0xC2, 0x0C, extensions - 3, *bytes(extensions - 3)]) if extensions else b""
    message = "m" * (CHARACTERS_MAX + characters - len(packed))
    sim.append(Event(message, "Rare", extensions=packed))
    sim.append_many(Event("m", "S") for _ in range(64))
    sim.settle()
    for _ in range(2):
        assert [event.message for event in sim.events(sources=["Rare"])] == [message]
    assert len(built) == (1 if kept else 2)


@pytest.mark.parametrize(("beyond", "kept"), [(-1, True), (0, True), (1, False)])
def test_answers_to_large_queries_are_not_kept(sim: Instance, beyond: int, kept: bool) -> None:
    sim.append_many(Event("abc" * 20, "Rare" if n == 3 else "S", generation_time=n) for n in range(64))
    sim.settle()
    names = ["Rare", *(f"None{n}" for n in range(SOURCES_MAX + beyond - 1))]
    text = ("abc" * CHARACTERS_MAX)[: CHARACTERS_MAX + beyond]  # no message has it, but its trigrams
    store: Any = sim._store
    assert len(list(sim.events(sources=names))) == 1
    assert len(store._few_found._found) == kept
    assert list(sim.events(text=text)) == []
    assert len(store._few_found._found) == 2 * kept


def test_events_with_extra_are_not_kept(sim: Instance, built: list[int]) -> None:
    filled(sim, 1, extra={"a": "b"})
    for _ in range(2):
        [found] = sim.events(sources=["Rare"])
        assert found.extra == {"a": "b"}
        found.extra["a"] = "changed"
    assert built == [1, 1]


def test_what_a_caller_changes_is_not_shown_to_others(sim: Instance) -> None:
    filled(sim, 1)
    for _ in range(3):
        [found] = sim.events(sources=["Rare"])
        assert found.extra == {}
        found.extra["a"] = "changed"


@pytest.mark.parametrize("answers", [ANSWERS_MAX - 1, ANSWERS_MAX, ANSWERS_MAX + 1])
def test_the_oldest_answers_are_dropped(sim: Instance, built: list[int], answers: int) -> None:
    filled(sim, 1)
    store: Any = sim._store  # there is no public way to look
    asked: list[dict[str, Any]] = [{"sources": ["Rare", f"None{n}"]} for n in range(answers)]
    for each in asked:
        assert len(list(sim.events(**each))) == 1
    assert len(store._few_found._found) == min(answers, ANSWERS_MAX)
    built.clear()
    assert list(sim.events(**asked[-1])) == list(sim.events(**asked[-1]))
    assert built == []
    assert list(sim.events(**asked[0]))
    assert len(built) == max(0, answers - ANSWERS_MAX)


def test_blocks_of_which_few_events_are_kept_take_no_place_among_recent_ones(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event("m", "Rare" if n % 16 == 3 else "S", generation_time=n) for n in range(320))
        sim.settle()
        store: Any = sim._store
        first = list(sim.events(sources=["Rare"], limit=100))
        page = list(sim.events(descending=True, limit=10))
        recent = list(store._blocks._blocks)
        assert list(sim.events(sources=["Rare"], limit=100)) == first
        assert list(store._blocks._blocks) == recent
        assert list(sim.events(descending=True, limit=10)) == page


def test_answers_that_skip_damage_are_not_kept(sim: Instance, built: list[int]) -> None:
    filled(sim, 1)
    for _ in range(2):
        assert len(list(sim.events(sources=["Rare"], skip_damaged=True))) == 1
    assert len(built) == 2
