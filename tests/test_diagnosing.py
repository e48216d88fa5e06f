"""The examination of an archive: each finding just below, at and above its bound, and in states of fault."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.child import run
from tests.http.test_readiness import room_of
from tests.storage.test_activity import reader_of
from tests.storage.test_damage import damage
from yamcs_archive import Archive, ClosedError, Event, Instance, Options, UnknownInstanceError, diagnosing
from yamcs_archive.activity import InstanceUsage
from yamcs_archive.diagnosing import (
    BACKLOG_S_MAX,
    FILES_FOR_INSTANCE,
    FILES_FOR_SERVER,
    LOOK_S,
    MEMORY_BYTES_MIN,
    READER_S_MAX,
    SYNC_S_MAX,
    SYNC_S_MIN,
    clock_finding,
    file_system_finding,
    limit_findings,
    memory_finding,
    space_finding,
    sync_finding,
    usage_findings,
)
from yamcs_archive.limits import LATE_EVENTS_MAX, ODD_AFTER_US, ODD_BEFORE_US, READERS_MAX, TABLE_EVENTS_MAX
from yamcs_archive.reports import Finding, Level
from yamcs_archive.results import MirrorState
from yamcs_archive.storage.disk.file_system import NEARLY_FULL_BYTES
from yamcs_archive.storage.disk.machine import Limits, Memory, Space

NOW = 1_800_000_000_000_000
GOOD, NOTE, BAD = Level.GOOD, Level.NOTE, Level.BAD

_YOUNG_MAX = 2 * (LATE_EVENTS_MAX + TABLE_EVENTS_MAX)


def level(finding: Finding) -> Level:
    if finding.subject != "instance":  # an error of the library, which ends with what to do
        assert bool(finding.advice) == (finding.level is BAD) or finding.level is NOTE, finding
    assert finding.text
    return finding.level


def test_space() -> None:
    size = 100 << 30
    for free, files, expected in [
        (size // 2, None, GOOD),
        (size // 20, 10, GOOD),
        (size // 20 - 1, 10, BAD),
        (NEARLY_FULL_BYTES - 1, 10, BAD),
        (size // 2, 1, GOOD),
        (size // 2, 0, BAD),
    ]:
        assert level(space_finding(Space(size, free, files))) is expected, (free, files)
    # A small disk with 2 MiB left still stores.
    assert level(space_finding(Space(10 * NEARLY_FULL_BYTES, NEARLY_FULL_BYTES, None))) is GOOD
    assert level(space_finding(Space(10 * NEARLY_FULL_BYTES, NEARLY_FULL_BYTES - 1, None))) is BAD


def test_limits() -> None:
    needed = FILES_FOR_SERVER + 3 * FILES_FOR_INSTANCE
    for files, expected in [(needed - 1, BAD), (needed, GOOD), (None, GOOD)]:
        [finding] = limit_findings(Limits(files, 5, None, None), 3)
        assert level(finding) is expected, files
    found = list(limit_findings(Limits(None, None, 1 << 40, 1 << 30), 1))
    assert [level(finding) for finding in found] == [GOOD, NOTE, NOTE]


def test_memory_and_file_systems_and_clocks() -> None:
    assert level(memory_finding(None)) is GOOD
    assert level(memory_finding(Memory(MEMORY_BYTES_MIN - 1, 5))) is BAD
    assert level(memory_finding(Memory(MEMORY_BYTES_MIN, None))) is GOOD
    levels = {kind: level(file_system_finding(kind)) for kind in ("ext4", "xfs", "", "tmpfs", "overlay")}
    assert levels == {"ext4": GOOD, "xfs": GOOD, "": NOTE, "tmpfs": BAD, "overlay": BAD}
    assert [level(clock_finding(state, NOW)) for state in (True, False, None)] == [GOOD, NOTE, NOTE]


def test_syncs() -> None:
    for typical_s, expected in [
        (SYNC_S_MAX, GOOD),
        (SYNC_S_MAX * 1.01, BAD),
        (SYNC_S_MIN, GOOD),
        (SYNC_S_MIN * 0.99, NOTE),
    ]:
        assert level(sync_finding([0.0, typical_s, 9.0])) is expected, typical_s


def test_readers_and_backlog() -> None:
    usage = InstanceUsage(TABLE_EVENTS_MAX, 1, 100, 50, 50, 1, 0.0, BACKLOG_S_MAX)
    for changes, expected in [
        ({}, (GOOD, GOOD)),
        ({"oldest_reader_seconds": LOOK_S - 0.01}, (GOOD, GOOD)),
        ({"oldest_reader_seconds": LOOK_S}, (NOTE, GOOD)),
        ({"oldest_reader_seconds": READER_S_MAX}, (NOTE, GOOD)),
        ({"oldest_reader_seconds": READER_S_MAX + 0.1}, (BAD, GOOD)),
        ({"readers": READERS_MAX * 9 // 10}, (GOOD, GOOD)),
        ({"readers": READERS_MAX * 9 // 10 + 1}, (BAD, GOOD)),
        ({"checkpoint_backlog_seconds": BACKLOG_S_MAX + 0.1}, (GOOD, BAD)),
        ({"young_events": _YOUNG_MAX}, (GOOD, GOOD)),
        ({"young_events": _YOUNG_MAX + 1}, (GOOD, BAD)),
    ]:
        found = list(usage_findings("sim", replace(usage, **changes)))  # type: ignore[arg-type]
        assert tuple(map(level, found)) == expected, changes
        assert {finding.instance for finding in found} == {"sim"}


def about(found: list[Finding], subject: str, instance: str | None = "sim") -> list[Finding]:
    return [one for one in found if (one.subject, one.instance) == (subject, instance)]


def examined(archive: Archive, **given: list[str]) -> list[Finding]:
    found = archive.diagnose(**given)
    assert found.healthy == all(one.level is not BAD for one in found.findings)
    for one in found.findings:
        level(one)
    return list(found.findings)


@pytest.fixture
def still(tmp_path: Path) -> Archive:
    archive = Archive.open(tmp_path / "a", options=Options(clock=lambda: NOW, maintenance=False))
    archive.instance("sim", create=True)
    return archive


def test_events_of_improbable_times_are_named(still: Archive) -> None:
    with still as archive:
        sim = archive.instance("sim")
        assert about(examined(archive), "times")[0].level is GOOD
        sim.append(Event("a", generation_time=NOW + ODD_AFTER_US, source="ahead"))
        sim.append(Event("a", generation_time=ODD_BEFORE_US, source="old"))
        assert about(examined(archive), "times")[0].level is GOOD
        sim.append(Event("a", generation_time=NOW + ODD_AFTER_US + 1, source="evil\n\x1b[31m"))
        sim.append_many(Event(f"{n}", generation_time=ODD_BEFORE_US - n, source="EPS") for n in range(1, 4))
        future, past = about(examined(archive), "times")
        assert (future.level, past.level) == (NOTE, NOTE)
        assert future.text.startswith("1 events are of the future")
        assert r"'evil\n\x1b[31m'" in future.text
        assert past.text.startswith("3 events are of before 2001")
        assert "'EPS'" in past.text


def test_a_clock_that_was_set_back_is_told(tmp_path: Path) -> None:
    now = [NOW]
    with Archive.open(tmp_path / "a", options=Options(clock=lambda: now[0], maintenance=False)) as archive:
        archive.instance("sim", create=True).append(Event("a"))
        for back, expected in [(60_000_000, 0), (60_000_001, 1)]:
            now[0] = NOW - back
            assert len(about(examined(archive), "clock")) == expected, back


def test_a_reader_that_holds_on_is_seen_by_who_has_just_opened_the_archive(
    archive: Archive, sim: Instance
) -> None:
    sim.append(Event("a"))
    child = reader_of(archive)
    try:
        sim.settle()  # which changes LMDB's pages, unlike an append
        out = run(
            """
            with Archive.open(sys.argv[1], readonly=True) as archive:
                print(*[one.level for one in archive.diagnose().findings if one.subject == "readers"])
            """,
            archive.path,
        )
        assert out.split() == ["note"]
    finally:
        child.kill()
        child.communicate()


def test_a_copy_is_told(still: Archive) -> None:
    with still as archive:
        archive.instance("sim").take_over([], MirrorState("http://ops:8090", "sim", None))
        [finding] = about(examined(archive), "mirror")
        assert (finding.level, "http://ops:8090" in finding.text) == (NOTE, True)


def test_an_examination_changes_nothing_and_opens_what_is_asked(
    still: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with still as archive:
        archive.instance("other", create=True)
        archive.instance("sim").append(Event("a"))
        before = {
            path: path.stat().st_mtime_ns for path in archive.path.rglob("*") if path.name != "lock.mdb"
        }
        before.pop(archive.path, None)
        found = examined(archive, instances=["sim"])
        after = {path: path.stat().st_mtime_ns for path in archive.path.rglob("*") if path.name != "lock.mdb"}
        assert after == before
        assert {one.instance for one in found} == {None, "sim"}
        with pytest.raises(UnknownInstanceError):
            archive.diagnose(instances=["sim", "nosuch"])
        assert {one.instance for one in examined(archive)} == {None, "sim", "other"}
    with pytest.raises(ClosedError):
        still.diagnose()


@pytest.mark.damaging
def test_what_cannot_be_found_out_is_a_finding_and_the_others_follow(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = archive.instance("other", create=True)
    other.append(Event("a"))
    shutil.rmtree(archive.path / "sim" / "gen-1")
    found = examined(archive)
    assert [one.level for one in about(found, "instance")] == [BAD]
    assert [one.level for one in about(found, "backlog", "other")] == [GOOD]

    monkeypatch.setattr(diagnosing, "sync_times_s", lambda _: (_ for _ in ()).throw(ClosedError()))
    monkeypatch.setattr(os, "statvfs", room_of(0))
    found = examined(archive)
    assert about(found, "sync", None)[0].level is NOTE
    assert about(found, "space", None)[0].level is BAD


@pytest.mark.damaging
def test_a_damaged_instance_is_a_finding_that_says_what_to_do(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        for name in ("sim", "other"):
            archive.instance(name, create=True).append_many(
                Event(f"{n}", source=f"S{n}", generation_time=n) for n in range(300)
            )
    damage(tmp_path / "a", "sources", 1, -1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        found = examined(archive)
    assert "run verify" in about(found, "times")[0].advice
    assert about(found, "times", "other")[0].level is NOTE
    damage(tmp_path / "a", "meta", 0, -1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        assert "run verify" in about(examined(archive), "instance")[0].advice
