"""A query that meets damage names the events; ``skip_damaged`` goes round these, and no others."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.http.feeds import core_feed
from tests.storage.by_hand import as_version_1
from tests.storage.test_damage import IN_BODY, IN_KEYS, damage
from tests.storage.test_verification import change, filled
from yamcs_archive import Archive, Event, EventKey, Instance
from yamcs_archive.cli.main import main
from yamcs_archive.errors import DamagedError

DAMAGES = {
    "a block's keys": [("blocks", 1, IN_KEYS)],
    "a block's messages": [("blocks", 1, IN_BODY)],
    "the first and the last block": [("blocks", 0, IN_KEYS), ("blocks", -1, IN_BODY)],
    "two neighbours": [("blocks", 1, IN_BODY), ("blocks", 2, IN_KEYS)],
    "a row of version 1": [("rows", 0, -1)],
    "a block and its zone map": [("blocks", 1, IN_KEYS), ("summaries", 1, -1)],
    "neighbours and their zone maps": [
        *(("blocks", 1, IN_KEYS), ("summaries", 1, -1)),
        *(("blocks", 2, IN_KEYS), ("summaries", 2, -1)),
    ],
    "the first block and its zone map": [("blocks", 0, IN_KEYS), ("summaries", 0, -1)],
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    filled(tmp_path / "a")
    return tmp_path / "a"


def spoilt(directory: Path, which: str) -> tuple[list[Event], list[EventKey]]:
    """Damage an archive; return all events before, and the keys that each damage covers, first and last."""
    with Archive.open(directory, readonly=True) as archive:
        before: list[Event] = list(archive.instance("sim").events())
    of_rows = DAMAGES[which][0][0] == "rows"
    if of_rows:
        as_version_1(directory)
    for database, key, place in DAMAGES[which]:
        damage(directory, database, key, place, keep_young=of_rows)
    return before, [event.key for event in before]


@pytest.mark.parametrize("which", DAMAGES)
def test_every_reader_goes_round_the_same_events(directory: Path, which: str) -> None:
    before, _ = spoilt(directory, which)
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        met: list[DamagedError] = []
        found = list(sim.events(skip_damaged=met.append))
        there = {event.key: event for event in before}
        assert found
        assert all(there[event.key] == event for event in found)
        left_out = [event for event in before if event not in found]
        assert left_out
        assert len(met) == len([one for one in DAMAGES[which] if one[0] != "summaries"])
        for event in left_out:
            assert any(
                error.first <= event.key and (error.last is None or event.key <= error.last) for error in met
            ), event.key
        if not any(one[0] == "summaries" for one in DAMAGES[which]):
            assert sum(error.events or 0 for error in met) == len(left_out)
        assert [event.key for event in found] == sorted(event.key for event in found)
        assert list(sim.events(skip_damaged=True, descending=True)) == found[::-1]
        for limit in (1, 5, len(found), len(found) + 1):
            assert list(sim.events(skip_damaged=True, limit=limit)) == found[:limit]
        vectors = [event for part in sim.event_vectors(skip_damaged=True) for event in part.events()]
        assert vectors == found
        assert sim.count(skip_damaged=True) == len(found)
        for source in "ABCL":
            wanted = [event for event in found if event.source == source]
            assert list(sim.events(sources=[source], skip_damaged=True)) == wanted
            assert list(sim.events(sources=[source], skip_damaged=True, descending=True)) == wanted[::-1]
        assert sum(stretch.events for stretch in sim.histogram(skip_damaged=True)) == len(found)
        changes = list(sim.changes(skip_damaged=True))
        assert sorted(change.event.key for change in changes) == [event.key for event in found]
        for at in (0, len(changes) // 2):
            rest = [change.event for change in sim.changes(changes[at].cursor, skip_damaged=True)]
            assert rest == [change.event for change in changes[at + 1 :]]


@pytest.mark.parametrize("which", DAMAGES)
def test_without_it_the_error_names_the_events(directory: Path, which: str) -> None:
    spoilt(directory, which)
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        readers: list[Any] = [
            lambda: list(sim.events()),
            lambda: list(sim.events(descending=True)),
            lambda: list(sim.event_vectors()),
            lambda: sim.count(text="m"),
        ]
        for read in readers:
            with pytest.raises(DamagedError) as raised:
                read()
            error = pickle.loads(pickle.dumps(raised.value))
            if not any(one[0] == "summaries" for one in DAMAGES[which]):
                assert error.first <= error.last
                assert error.events >= 1


def test_a_damaged_record_of_commits_is_passed_over(directory: Path) -> None:
    with Archive.open(directory, readonly=True) as archive:
        every = [change.event for change in archive.instance("sim").changes()]
    damage(directory, "commits", 1, -1)
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        with pytest.raises(DamagedError):
            list(sim.changes())
        found = [change.event for change in sim.changes(skip_damaged=True)]
        assert found == [event for event in every if event.source != "B"]  # those of the damaged record


def test_a_block_that_is_not_there(directory: Path) -> None:
    def remove(transaction: Any, opened: Any) -> None:
        cursor = transaction.cursor(opened["blocks"])
        assert cursor.first()
        cursor.delete()

    change(directory, remove)
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        met: list[DamagedError] = []
        found = list(sim.events(skip_damaged=met.append))
        assert [error.events for error in met] == [73 - len(found)]
        assert list(sim.events(skip_damaged=True, descending=True)) == found[::-1]


def test_a_warning_for_each_if_no_function_is_given(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoilt(directory, "two neighbours")
    with Archive.open(directory, readonly=True) as archive, caplog.at_level(logging.WARNING):
        list(archive.instance("sim").events(skip_damaged=True))
    assert len([record for record in caplog.records if "are left out" in record.message]) == 2


def test_a_sound_archive_is_read_as_ever(directory: Path) -> None:
    with Archive.open(directory, readonly=True) as archive:
        sim: Instance = archive.instance("sim")
        met: list[DamagedError] = []
        assert list(sim.events(skip_damaged=met.append)) == list(sim.events())
        assert list(sim.changes(skip_damaged=met.append)) == list(sim.changes())
        assert met == []


def test_over_http(directory: Path) -> None:
    spoilt(directory, "a block's messages")
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        found = list(sim.events(skip_damaged=True))
        send = core_feed(archive)
        path = "/api/archive/sim/events"
        refused = send("GET", f"{path}?limit=1000")
        assert refused.status == 500
        detail = refused.json()["detail"]
        assert detail["@type"] == "/yamcs_archive.changes.DamagedBlock"
        assert detail["first"]["source"] == detail["last"]["source"] == "A"
        assert detail["events"] == 73 - len(found)
        answers = [
            send("GET", f"{path}?limit=1000&skip_damaged=true"),
            send("POST", f"{path}:list?skip_damaged=true", b'{"limit": 1000}'),
            send("GET", f"{path}:count?skip_damaged=true&q=m"),
            send("POST", f"{path}:count?skip_damaged=true", b"{}"),
            send("GET", "/api/archive/sim/event-index?skip_damaged=true"),
            send("GET", f"{path}:changes?skip_damaged=true&limit=1000"),
        ]
        for answer in answers:
            assert answer.status == 200
            assert answer.headers["events-left-out"] == str(73 - len(found))
        assert len(answers[0].json()["events"]) == len(found) == answers[3].json()["count"]
        streamed = send("POST", "/api/stream-archive/sim:streamEvents?skip_damaged=true", b"{}")
        assert streamed.body.count(b'"generationTime"') == len(found)
        csv = send("GET", "/api/archive/sim:exportEvents?skip_damaged=true")
        assert csv.body.count(b"\n") == len(found) + 1
        assert send("GET", f"{path}?skip_damaged=maybe").status == 400
        assert "events-left-out" not in send("GET", f"{path}?limit=1&skip_damaged=true").headers


def test_on_the_command_line(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spoilt(directory, "a block's messages")
    asked = ["events", "log", "--data", str(directory), "-n", "all", "--format", "jsonl"]
    assert main(asked) == 1
    capfd.readouterr()
    assert main([*asked, "--skip-damaged"]) == 0
    told = capfd.readouterr()
    [line] = told.err.splitlines()
    assert "left out: blocks 8000" in line
    assert f"({73 - len(told.out.splitlines())} events, 1970-01-01T" in line
    assert main([*asked, "--skip-damaged", "--show-cursor"]) == 2
