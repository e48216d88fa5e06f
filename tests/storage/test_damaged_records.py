"""A flipped bit in one record of each kind: calls that need the record name it, and all others work."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.storage.test_damage import IN_BODY, IN_KEYS, damage, values, young
from yamcs_archive import Archive, Event, EventKey, Instance, Options
from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import GROUP_BLOCKS_MAX

NOW = [1_767_225_600_000_000]
OPTIONS = Options(block_events_max=2, run_events_min=2, maintenance=False, clock=lambda: NOW[0])
BLOCKS = 2 * GROUP_BLOCKS_MAX + 8
ROWS = 70
"""Number of rows: more than one read has, so that a query for the last event does not read the first ones."""
YOUNG = 1_000_000
"""The time of the first row, long after the last event of the blocks."""
LAST = 20 * BLOCKS - 10
"""The time of the last event in a block."""


def in_order(n: int) -> Event:
    return Event(f"m{n}", source="S", generation_time=n * 10, seq_number=n)


def row(n: int) -> Event:
    return Event(f"r{n}", source=f"R{n % 2}", generation_time=YOUNG + n, seq_number=n)


def fill(directory: Path) -> None:
    """Store blocks, a closed group, a packed record of two commits, and rows with a commit and an id each."""
    with Archive.open(directory, options=OPTIONS) as archive:
        archive.instance("other", create=True).append(row(0))
        sim = archive.instance("sim", create=True)
        sim.append_many(map(in_order, range(2 * BLOCKS)))
        sim.append(Event("late", source="L", generation_time=5, seq_number=0))
        sim.settle()
        for n in range(ROWS):
            sim.append(row(n), request_id=f"id{n}")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sound") / "a"
    fill(directory)
    return directory


def texts(events: Any) -> list[str]:
    return [event.message for event in events]


def changes(sim: Instance, after_rows: int | None) -> list[str]:
    """Return the events stored after the commit of a row, by a cursor that was issued before."""
    after = None if after_rows is None else CURSORS[after_rows]
    return [change.event.message for change in sim.changes(after=after)]


CURSORS: dict[int, str] = {}


def stored(sim: Instance, event: Event, **more: Any) -> tuple[str, bool]:
    done = sim.append(event, **more)
    return done.event.message, done.duplicate


def at_rest(sim: Instance) -> int:
    """Settle twice, and return the number of events that are in no block."""
    for _ in range(2):
        sim.settle()
    return young(sim)


PROBES: dict[str, Callable[[Instance], Any]] = {
    "get a block's event": lambda sim: sim.get(EventKey(100, "S", 10)),
    "get the last block's last": lambda sim: sim.get(EventKey(LAST, "S", 2 * BLOCKS - 1)),
    "get row 1": lambda sim: sim.get(EventKey(YOUNG + 1, "R1", 1)),
    "get row 2": lambda sim: sim.get(EventKey(YOUNG + 2, "R0", 2)),
    "scan all": lambda sim: texts(sim.events()),
    "scan all backwards": lambda sim: texts(sim.events(descending=True)),
    "scan all of one source": lambda sim: texts(sim.events(sources=["L"], stop=YOUNG)),
    "scan from block 6 on": lambda sim: texts(sim.events(start=120, stop=LAST)),
    "scan from row 2 on": lambda sim: texts(sim.events(start=YOUNG + 2)),
    "scan by filter": lambda sim: texts(sim.events(filter='source =~ "L"', stop=YOUNG)),
    "histogram from block 6 on": lambda sim: list(sim.histogram(start=120, stop=LAST)),
    "all changes": lambda sim: changes(sim, None),
    "changes after row 0": lambda sim: changes(sim, 0),
    "changes after row 3": lambda sim: changes(sim, 3),
    "the cursor": Instance.cursor,
    "sources": Instance.sources,
    "stats": lambda sim: sim.stats().events,
    "a retry of row 1": lambda sim: stored(sim, row(1), request_id="id1"),
    "a retry of row 2": lambda sim: stored(sim, row(2), request_id="id2"),
    "row 1 again": lambda sim: stored(sim, row(1)),
    "row 2 again": lambda sim: stored(sim, row(2)),
    "a block's event again": lambda sim: stored(sim, in_order(10)),
    "late in block 5": lambda sim: stored(sim, Event("new", source="N", generation_time=105, seq_number=1)),
    "late in block 7": lambda sim: stored(sim, Event("new", source="N", generation_time=145, seq_number=1)),
    "after all blocks": lambda sim: stored(sim, Event("new", source="N", generation_time=LAST + 1)),
    "after all": lambda sim: stored(sim, Event("new", source="N", generation_time=2 * YOUNG)),
    "many after all": lambda sim: (
        sim.append_many(Event("new", source="N", generation_time=3 * YOUNG + n) for n in range(9)).stored
    ),
    "one of source R1": lambda sim: stored(sim, Event("new", source="R1", generation_time=2 * YOUNG)),
    "one of source R0": lambda sim: stored(sim, Event("new", source="R0", generation_time=2 * YOUNG)),
    "young at rest": at_rest,
    "records at rest": lambda sim: len(values(sim, "commits")),
    "scan of what is new": lambda sim: texts(sim.events(start=2 * YOUNG, stop=3 * YOUNG)),
    "compact": lambda sim: sim.compact().before_bytes > 0,
}
"""Calls to try, in this order; their results can be compared."""

WHOLE = {"scan all", "scan all backwards"}


@dataclass(frozen=True)
class Case:
    """A record, the offset of its flipped bit, and the probes that then fail or give another result."""

    database: str
    key: int
    place: int
    failing: set[str]
    other: dict[str, Any]
    """Probes whose result differs from that of a sound archive, with that result."""


CASES = {
    "the keys of a block": Case(
        *("blocks", 6, IN_KEYS),
        failing=WHOLE
        | {"get a block's event", "all changes", "a block's event again", "late in block 5", "compact"},
        other={},
    ),
    "the body of a block": Case(
        *("blocks", 6, IN_BODY),
        failing=WHOLE | {"get a block's event", "all changes", "a block's event again", "compact"},
        other={"young at rest": 1},
    ),
    "a block's summary": Case("summaries", 6, -1, failing=set(), other={}),
    "the last block's summary": Case("summaries", BLOCKS, -1, failing=set(), other={}),
    "a group": Case("summaries", BLOCKS + 1, -1, failing=set(), other={}),
    "a commit": Case(
        *("commits", 3, -1),
        failing={"all changes", "changes after row 0", "compact"},
        other={"records at rest": 3},
    ),
    "the newest commit": Case(
        *("commits", -1, -1),
        failing={"all changes", "changes after row 0", "changes after row 3", "the cursor", "compact"},
        other={"records at rest": 3},
    ),
    "packed commits": Case(
        *("commits", 0, -1), failing={"all changes", "compact"}, other={"records at rest": 2}
    ),
    "a source": Case(
        *("sources", 2, -1),
        failing={"stats", "sources", "row 1 again", "a retry of row 1", "one of source R1", "compact"},
        other={"scan of what is new": ["new", "new"]},
    ),
    "a request": Case("requests", 1, -1, failing={"a retry of row 1", "compact"}, other={}),
}


def probed(directory: Path, fails: Callable[[str, DamagedError], None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with Archive.open(directory, options=OPTIONS) as archive:
        sim = archive.instance("sim")
        for name, probe in PROBES.items():
            try:
                found[name] = probe(sim)
            except DamagedError as error:
                fails(name, error)
    return found


@pytest.fixture(scope="module")
def answers(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of a sound archive."""
    directory = tmp_path_factory.mktemp("answers") / "a"
    shutil.copytree(sound, directory)
    with Archive.open(directory, readonly=True) as archive:
        arrived = [*archive.instance("sim").changes()][-ROWS:]
        CURSORS.update((n, change.cursor) for n, change in enumerate(arrived))

    def no_failure(name: str, error: DamagedError) -> None:
        raise AssertionError(name) from error

    return probed(directory, no_failure)


@pytest.mark.parametrize("kind", CASES)
def test_a_damaged_record_stops_only_calls_that_need_it(
    kind: str, sound: Path, answers: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case = CASES[kind]
    shutil.copytree(sound, tmp_path / "a")
    key, _ = damage(tmp_path / "a", case.database, case.key, case.place)
    failing: dict[str, str] = {}
    with caplog.at_level(logging.WARNING):
        found = probed(tmp_path / "a", lambda name, error: failing.update({name: str(error)}))
    assert set(failing) == case.failing
    expected = {name: answer for name, answer in answers.items() if name not in case.failing}
    assert found == expected | case.other
    for name, text in failing.items():
        assert case.database in text, name
        assert key.hex() in text, name
    told = [record.message for record in caplog.records if "is left as it is" in record.message]
    assert len(told) <= 1  # two settles and a compaction met the damage


FACTS = ["checkpoint", "created", "format", "horizon", "horizon_commit", "instance", "lineage"]


@pytest.mark.parametrize("name", FACTS)
def test_a_damaged_fact_of_an_instance_keeps_that_one_from_being_opened(
    name: str, sound: Path, tmp_path: Path
) -> None:
    shutil.copytree(sound, tmp_path / "a")
    place = FACTS.index(name)
    assert damage(tmp_path / "a", "meta", place, -1)[0] == name.encode()
    for readonly in (True, False):
        with Archive.open(tmp_path / "a", readonly=readonly, options=OPTIONS) as archive:
            assert archive.instances() == ["other", "sim"]
            with pytest.raises(DamagedError, match=f"meta {name.encode().hex()}"):
                archive.instance("sim")
            assert texts(archive.instance("other").events()) == ["r0"]


@pytest.mark.parametrize("settled", [False, True])
def test_no_number_of_a_commit_is_used_twice_where_the_newest_record_is_damaged(
    tmp_path: Path, settled: bool
) -> None:
    """The key of a packed record has the number of its first commit only."""
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(40):
            sim.append(row(n))
        if settled:
            sim.settle()
    damage(tmp_path / "a", "commits", -1, -1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        assert len(list(archive.instance("sim").events())) == 40
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim")
        sim.append(row(40))
        assert sim._store._writer.head == 41  # type: ignore[attr-defined]  # no public door tells it
        newest = sim.cursor()
        last = sim.append(row(41)).event
        assert sim.arrival(newest).done()
        assert [change.event for change in sim.changes(after=newest)] == [last]
