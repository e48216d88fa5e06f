"""Backups: what is restored answers like the original; equal histories have equal hashes; damage is found."""

from __future__ import annotations

import io
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.by_hand import as_version_1, change_meta, remove
from tests.storage.test_damage import damage
from tests.strategies import many, stored_events
from yamcs_archive import (
    Archive,
    Backup,
    BackupError,
    Event,
    Instance,
    MirrorState,
    Options,
    Severity,
    list_backups,
    verify_backup,
    verify_backup_stream,
)
from yamcs_archive.errors import (
    BadCursorError,
    ClosedError,
    DamagedError,
    FormatVersionError,
    GoneError,
    InstanceExistsError,
    InvalidInputError,
    LockedError,
    NotAMirrorError,
    OtherHistoryError,
    ReadOnlyError,
    UnavailableError,
)
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.backup import folder, restorer, snapshot
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.backup_frames import BackupHead, FrameWriter, encode_head
from yamcs_archive.storage.format.commits import commit_key
from yamcs_archive.storage.format.log_segments import FRAME_BYTES, HEADER_BYTES
from yamcs_archive.storage.format.meta import Meta, encode_meta
from yamcs_archive.storage.maintain import groups

SMALL = Options(block_events_max=16, run_events_min=8, read_events_max=4, maintenance=False)


def numbered(start: int, count: int, source: str = "A") -> list[Event]:
    return [
        Event(f"m{n}", source, generation_time=n * 10, seq_number=n, reception_time=n, extra={"n": f"{n}"})
        for n in range(start, start + count)
    ]


def fill(sim: Instance) -> None:
    """Store every kind of value: full, late and open blocks, rows, packed commits, ids, refused events."""
    sim.append_many(numbered(0, 48))
    sim.append_many([Event("late", "L", generation_time=n * 10 + 5, seq_number=n) for n in range(3)])
    for n in range(5):
        sim.append(Event("single", "S", generation_time=2000 + n, severity=Severity.WATCH))
    sim.settle()
    sim.append_many(numbered(1000, 20, "B"), request_id="one")
    sim.append(Event("a row", "C", generation_time=333, seq_number=1, created_by="me", type="T"))
    sim.append(Event("another", "C", generation_time=100_000, seq_number=2))
    sim.append_many([*numbered(0, 2), replace_message(numbered(2, 1)[0])])


def replace_message(event: Event) -> Event:
    return Event("other", event.source, generation_time=event.generation_time, seq_number=event.seq_number)


def answers(sim: Instance) -> list[Any]:
    """What an instance answers to queries of every kind."""
    names = sim.sources()
    stats = sim.stats()
    return [
        list(sim.events()),
        list(sim.events(descending=True, limit=20)),
        list(sim.events(sources=names[:1], text="M1", min_severity=Severity.INFO)),
        list(sim.events(filter='source="L" or severity>info')),
        [change.event for change in sim.changes()],
        [(commit.time, commit.events) for commit in sim.commits()],
        names,
        stats.sources,
        (stats.created, stats.first_time, stats.last_time),
        [sim.count(start=start, stop=stop) for start, stop in ((None, 500), (20, 21), (2000, None))],
        list(sim.histogram(pause_us=100)),
        sim.mirrored,
    ]


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        yield archive.instance("sim", create=True)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open(tmp_path / "other", options=SMALL) as archive:
        yield archive


def restored(archive: Archive, copy: Any, name: str = "sim") -> Instance:
    """Restore a copy, verify what is there, and return it."""
    archive.restore(copy, instance=name)
    found = archive.instance(name)
    check = found.verify()
    assert check is not None
    assert check.faults == ()
    return found


def sound(copy: Path) -> bool:
    return all(check.fault is None for check in verify_backup(copy))


def content_of(sim: Instance) -> str:
    """The hash of the events of an instance, from the manifest of its stream."""
    [check] = verify_backup_stream(io.BytesIO(b"".join(sim.backup_stream())).read, "-")
    assert check.manifest is not None, check.fault
    return check.manifest.content


# Restoring


def test_a_restored_instance_answers_as_the_original(sim: Instance, other: Archive, tmp_path: Path) -> None:
    fill(sim)
    done = sim.backup(tmp_path / "copies")
    assert sound(tmp_path / "copies")
    again = restored(other, tmp_path / "copies")
    assert answers(again) == answers(sim)
    assert done.manifest.content == content_of(again) == content_of(sim)
    assert (done.manifest.events, done.manifest.sources, done.manifest.requests) == (78, 5, 20)
    assert (done.manifest.first, done.manifest.last) == (
        next(sim.events()).key,
        next(sim.events(descending=True)).key,
    )


def test_a_restored_instance_goes_on_as_the_original_would(
    sim: Instance, other: Archive, tmp_path: Path
) -> None:
    fill(sim)
    sim.backup(tmp_path / "copies")
    again = restored(other, tmp_path / "copies")
    with pytest.raises(OtherHistoryError):
        next(again.changes(after=sim.cursor()))
    assert again.append_many(numbered(1000, 20, "B"), request_id="one").duplicates == 20
    assert again.append_many(numbered(0, 48)).duplicates == 48
    assert again.append(Event("next", "A", generation_time=5)).event.seq_number == 48
    assert sim.append(Event("next", "A", generation_time=5)).event.seq_number == 48
    for one in (sim, again):
        one.settle()
        one.compact()
    assert [event.key for event in again.events()] == [event.key for event in sim.events()]
    assert [change.event.key for change in again.changes()] == [change.event.key for change in sim.changes()]


def test_an_empty_instance_can_be_backed_up_and_restored(
    sim: Instance, other: Archive, tmp_path: Path
) -> None:
    empty = sim.backup(tmp_path / "copies").manifest
    assert (empty.events, empty.commit, empty.content) == (0, 0, "0" * 64)
    sim.append_many(numbered(0, 20))
    assert sim.backup(tmp_path / "copies", incremental=True).manifest.after_commit == 0
    assert answers(restored(other, tmp_path / "copies")) == answers(sim)


def test_a_copy_of_a_served_instance_stays_one(sim: Instance, other: Archive, tmp_path: Path) -> None:
    sim.take_over([], MirrorState("http://127.0.0.1:8090", "sim", "cursor"))
    sim.backup(tmp_path / "copies")
    assert restored(other, tmp_path / "copies").mirrored == sim.mirrored


def test_restoring_beside_another_instance_needs_a_free_name(sim: Instance, tmp_path: Path) -> None:
    fill(sim)
    done = sim.backup(tmp_path / "copies")
    archive = Archive.open(tmp_path / "a", readonly=True)
    with pytest.raises(ReadOnlyError):
        archive.restore(done.path)
    archive.close()


def test_an_instance_that_is_there_is_not_touched(sim: Instance, other: Archive, tmp_path: Path) -> None:
    fill(sim)
    sim.backup(tmp_path / "copies")
    kept = other.instance("sim", create=True)
    kept.append(Event("kept"))
    with pytest.raises(InstanceExistsError):
        other.restore(tmp_path / "copies")
    assert [event.message for event in kept.events()] == ["kept"]
    assert answers(restored(other, tmp_path / "copies", "beside")) == answers(sim)
    assert other.instances() == ["beside", "sim"]


def test_the_pieces_may_be_of_any_size(
    sim: Instance, other: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "BACKUP_PAIRS_MAX", 1)
    monkeypatch.setattr(restorer, "RESTORE_BYTES_MAX", 1000)
    monkeypatch.setattr(restorer, "RESTORE_ROWS_MAX", 3)
    monkeypatch.setattr(groups, "GROUP_BLOCKS_MAX", 2)  # so that there are groups before the last backup
    fill(sim)
    sim.backup(tmp_path / "copies")
    for turn in range(3):
        time = 7 + turn
        sim.append_many([Event("in", "W", generation_time=n * 10 + time, seq_number=time) for n in range(30)])
        sim.append_many(numbered(300 + turn * 200, 40, f"T{turn}"))  # blocks between those that are there
        sim.backup(tmp_path / "copies", incremental=True)
    assert answers(restored(other, tmp_path / "copies")) == answers(sim)


# What happens meanwhile


@pytest.mark.parametrize("meanwhile", ["late", "settle", "compact", "all"])
def test_a_backup_has_what_was_there_when_it_began(
    sim: Instance, other: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    fill(sim)
    before = answers(sim)
    turns: list[str] = []

    def act(point: str) -> None:
        if not point.startswith("backup-") or point in ("backup-written", "backup-synced", "backup-renamed"):
            return
        n = len(turns)
        turns.append(point)
        if n >= 12:  # each event that is appended before the place that was reached is read over
            return
        if meanwhile in ("late", "all"):
            sim.append(Event("late", "N", generation_time=n * 13 + 1))
            sim.append_many(Event("new", "N", generation_time=3000 + n * 100 + k) for k in range(9))
            assert sim.append(numbered(3, 1)[0]).duplicate
        if meanwhile in ("settle", "all"):
            sim.settle()
        if meanwhile in ("compact", "all") and n in (3, 7):
            sim.compact()

    monkeypatch.setattr(failpoints, "on_point", act)
    sim.backup(tmp_path / "copies")
    monkeypatch.setattr(failpoints, "on_point", None)
    assert len(turns) > 8
    assert answers(restored(other, tmp_path / "copies")) == before
    sim.backup(tmp_path / "copies", incremental=True)
    assert answers(restored(other, tmp_path / "copies", "later")) == answers(sim)


def test_a_compaction_that_ends_as_a_backup_begins_does_not_disturb_it(
    sim: Instance, other: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LMDB's handles belong to one generation: they are asked for within the transaction."""
    fill(sim)
    begin = Environment.snapshot
    compacted: list[bool] = []

    def read(self: Environment, *left_out: Any) -> Any:
        if not compacted and sys._getframe(1).f_code.co_name == "take_facts":
            compacted.append(True)
            sim.compact()
        return begin(self, *left_out)

    monkeypatch.setattr(Environment, "snapshot", read)
    sim.backup(tmp_path / "copies")
    assert compacted
    assert answers(restored(other, tmp_path / "copies")) == answers(sim)


def test_a_backup_of_pruned_events_is_not_completed(
    sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sim)

    def prune(point: str) -> None:
        if point == "backup-slice-read":
            change_meta(tmp_path / "a" / "sim", horizon=100, horizon_commit=1)

    monkeypatch.setattr(failpoints, "on_point", prune)
    with pytest.raises(UnavailableError, match="were pruned while they were copied"):
        b"".join(sim.backup_stream())
    change_meta(tmp_path / "a" / "sim", horizon=None, horizon_commit=0)


def test_a_backup_is_begun_again_if_events_are_pruned_once(
    sim: Instance, other: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sim)
    points: list[str] = []

    def prune(point: str) -> None:
        points.append(point)
        if point == "backup-slice-read" and points.count("backup-begun") == 1:
            change_meta(tmp_path / "a" / "sim", horizon=100, horizon_commit=2)

    monkeypatch.setattr(failpoints, "on_point", prune)
    done = sim.backup(tmp_path / "copies")
    monkeypatch.setattr(failpoints, "on_point", None)
    assert points.count("backup-begun") == 2
    assert done.manifest.horizon == 100
    kept = [event for event in sim.events() if event.key.generation_time >= 100]
    again = restored(other, tmp_path / "copies")
    assert list(again.events()) == kept
    assert again.stats().events == again.count() == len(kept) == done.manifest.events
    with pytest.raises(Exception, match="prune horizon"):
        again.append(Event("too old", generation_time=99))


@pytest.mark.parametrize("pairs_max", [1, 2, 3, 1_000])
def test_commits_of_which_only_pruned_events_are_missing_between_others_are_no_damage(
    sim: Instance, other: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs_max: int
) -> None:
    monkeypatch.setattr(snapshot, "BACKUP_PAIRS_MAX", pairs_max)
    for n in range(12):  # a clock that is late keeps the commits 4 and 8
        sim.append(Event(f"m{n}", source=f"S{n % 3}", generation_time=5_000 + n if n in (3, 7) else n))
    sim.backup(tmp_path / "copies")
    sim.prune(before=6)
    sim.append(Event("new", source="S0", generation_time=9_000))
    contents = set()
    for incremental in (True, False):
        for settled in (False, True):
            if settled:
                sim.settle()
            sim.backup(tmp_path / "copies", incremental=incremental)
            assert [check.fault for check in verify_backup(tmp_path / "copies") if check.fault] == []
            name = f"copy-{incremental}-{settled}"
            [done] = other.restore(tmp_path / "copies", instance=name)
            contents.add((done.events, done.content))
            again = other.instance(name)
            found = again.verify()
            assert found is not None
            assert found.faults == ()
            assert answers(again) == answers(sim)
    assert contents == {(8, content_of(sim))}  # what was pruned after the full backup is in none
    sim.prune(before=9_000)
    sim.backup(tmp_path / "last")
    assert [event.message for event in restored(other, tmp_path / "last", "last").events()] == ["new"]


def test_a_backup_is_begun_again_if_records_of_commits_are_pruned_before_they_are_read(
    sim: Instance, other: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        sim.append(Event(f"m{n}", generation_time=n))
    points: list[str] = []

    def prune(point: str) -> None:
        points.append(point)
        if point == "backup-begun" and points.count(point) == 1:
            sim.prune(before=3)

    monkeypatch.setattr(failpoints, "on_point", prune)
    sim.backup(tmp_path / "copies")
    monkeypatch.setattr(failpoints, "on_point", None)
    assert points.count("backup-begun") == 2
    assert answers(restored(other, tmp_path / "copies")) == answers(sim)


@pytest.mark.parametrize("horizon_commit", [0, 3, 4])
def test_a_gap_between_commits_that_pruning_did_not_make_is_damage(
    tmp_path: Path, horizon_commit: int
) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        for n in range(6):
            archive.instance("sim", create=True).append(Event(f"m{n}", generation_time=n))
    remove(tmp_path / "a" / "sim", "commits", commit_key(3))
    change_meta(tmp_path / "a" / "sim", horizon=3 if horizon_commit else None, horizon_commit=horizon_commit)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        if horizon_commit >= 4:  # the record after the gap may be that of the horizon
            assert archive.instance("sim").backup(tmp_path / "copies").manifest.commits == 5
        else:
            with pytest.raises(DamagedError, match="commits 3"):
                archive.instance("sim").backup(tmp_path / "copies")


def test_a_backup_ends_when_it_is_cancelled_or_the_archive_closed(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        fill(sim)
        said: list[tuple[int, int]] = []
        whole = b"".join(sim.backup_stream(progress=lambda *given: said.append(given)))
        assert said == sorted(said)
        assert said[-1] == (78, 78)
        assert sound_stream(whole)
        with pytest.raises(ClosedError):
            b"".join(sim.backup_stream(cancelled=lambda: True))
        stream = sim.backup_stream()
    with pytest.raises(ClosedError):
        b"".join(stream)


def sound_stream(stream: bytes) -> bool:
    return all(check.fault is None for check in verify_backup_stream(io.BytesIO(stream).read, "-"))


def test_something_damaged_is_not_copied(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        fill(archive.instance("sim", create=True))
    for database in ("rows", "blocks", "commits", "sources", "requests", "log"):
        shutil.copytree(tmp_path / "a", tmp_path / database)
        if database == "log":
            [segment] = (tmp_path / database / "sim" / "gen-1").glob("log-*")
            data = bytearray(segment.read_bytes())
            data[HEADER_BYTES + FRAME_BYTES] ^= 1
            segment.write_bytes(data)
        elif database == "rows":
            as_version_1(tmp_path / database)
            damage(tmp_path / database, database, 0, -1, keep_young=True)
        else:
            damage(tmp_path / database, database, 0, -1)
        with Archive.open(tmp_path / database, readonly=True) as archive, pytest.raises(DamagedError):
            archive.instance("sim").backup(tmp_path / f"{database} copies")
        assert list((tmp_path / f"{database} copies").iterdir()) == []


# The content hash


@settings(max_examples=10)
@given(many(stored_events), st.integers(0, 2**32))
def test_equal_histories_have_equal_hashes_in_whatever_form_they_are(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event], salt: int
) -> None:
    directory = tmp_path_factory.mktemp("hash")
    contents = set()
    unlike = Options(block_events_max=3, run_events_min=2, maintenance=False)
    for name, options in (("small", SMALL), ("unlike", unlike), ("usual", Options(maintenance=False))):
        with Archive.open(directory / name, options=options) as archive:
            sim = archive.instance("sim", create=True)
            given = events if name == "small" else events[::-1]
            for start in range(0, len(given), 1 + salt % 7):
                sim.append_many(given[start : start + 1 + salt % 7])
            contents.add(content_of(sim))
            sim.settle()
            contents.add(content_of(sim))
            if name == "unlike":
                sim.compact()
                contents.add(content_of(sim))
                mirror = archive.instance("mirror", create=True)
                mirror.take_over(list(sim.commits()), MirrorState("http://127.0.0.1:8090", "sim", "cursor"))
                contents.add(content_of(mirror))
    shutil.rmtree(directory)
    if len({event.key for event in events}) == len(events):  # otherwise the first one of each key is stored
        assert len(contents) == 1


FIELDS: Sequence[dict[str, Any]] = (
    {"message": "b"},
    {"source": "B"},
    {"severity": Severity.WATCH},
    {"severity": Severity.ERROR},
    {"type": "a"},
    {"type": ""},
    {"type": "A"},
    {"generation_time": 1},
    {"seq_number": 1},
    {"seq_number": -1},
    {"reception_time": 1},
    {"created_by": "a"},
    {"created_by": "A"},
    {"created_by": ""},
    {"extensions": b"a"},
    {"extra": {"a": ""}},
    {"extra": {"": "a"}},
    {"extra": {"a": "", "b": ""}},
)


def test_the_hash_tells_every_field(archive: Archive) -> None:
    plain: dict[str, Any] = {
        "message": "a",
        "source": "A",
        "generation_time": 0,
        "seq_number": 0,
        "reception_time": 0,
    }
    contents = []
    for n, changed in enumerate(({}, *FIELDS)):
        sim = archive.instance(f"sim{n}", create=True)
        sim.append(Event(**(plain | changed)))
        contents.append(content_of(sim))
    assert len(set(contents)) == len(contents)


def test_the_hash_tells_which_fields_belong_to_one_event(archive: Archive) -> None:
    contents = []
    for n, messages in enumerate(("ab", "ba", "aa", "bb")):
        sim = archive.instance(f"sim{n}", create=True)
        sim.append_many(
            Event(message, generation_time=at, seq_number=at, reception_time=9)
            for at, message in enumerate(messages)
        )
        contents.append(content_of(sim))
    assert len(set(contents)) == 4


# Chains


def grow(sim: Instance, copies: Path, turns: int) -> list[Backup]:
    """Make a full backup and increments: events before, within and after what is there; one of nothing."""
    fill(sim)
    done = [sim.backup(copies)]
    for turn in range(turns):
        if turn != 1:
            sim.append_many(numbered(2000 + turn * 100, 20, f"T{turn}"))
            sim.append(Event("late", "N", generation_time=turn * 31 + 2))
            sim.append_many(
                [Event("early", "E", generation_time=-9 * turn - n, seq_number=n) for n in range(9)]
            )
        if turn == 2:
            sim.settle()
        done.append(sim.backup(copies, incremental=True))
    return done


def test_increments_are_restored_after_their_base(sim: Instance, other: Archive, tmp_path: Path) -> None:
    done = grow(sim, tmp_path / "copies", 4)
    assert [backup.manifest.full for backup in done] == [True, False, False, False, False]
    assert sum(backup.manifest.events for backup in done) == sim.stats().events
    assert done[2].manifest.events == done[2].manifest.commits == 0
    assert [backup.path for backup in list_backups(tmp_path / "copies")] == [each.path for each in done]
    assert sound(tmp_path / "copies")
    assert answers(restored(other, tmp_path / "copies")) == answers(sim)
    assert other.restore(tmp_path / "copies", instance="again")[0].content == content_of(sim)


keys = st.tuples(st.integers(-30, 60), st.sampled_from("AB"), st.integers(0, 3))
steps = st.sampled_from([Instance.sources, Instance.settle, Instance.compact])


@settings(max_examples=12)
@given(st.lists(st.tuples(st.lists(keys, max_size=30), steps), min_size=1, max_size=5), st.integers(1, 30))
def test_any_chain_restores_what_was_there(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[list[Any], Any]], together: int
) -> None:
    directory = tmp_path_factory.mktemp("chain")
    with Archive.open(directory / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        for turn, (found, step) in enumerate(turns):
            events = [
                Event(f"{turn}", source, generation_time=time, seq_number=number, reception_time=turn)
                for time, source, number in found
            ]
            for start in range(0, len(events), together):
                sim.append_many(events[start : start + together])
            step(sim)
            sim.backup(directory / "copies", incremental=True)
        [done] = archive.restore(directory / "copies", instance="again")
        again = archive.instance("again")
        assert answers(again) == answers(sim)
        assert done.content == content_of(sim) == content_of(again)
        check = again.verify()
        assert check is not None
        assert check.faults == ()
    shutil.rmtree(directory)


def test_a_file_is_restored_with_what_it_continues(sim: Instance, other: Archive, tmp_path: Path) -> None:
    done = grow(sim, tmp_path / "copies", 3)
    for n, backup in enumerate(done):
        found = restored(other, backup.path, f"sim{n}")
        assert found.stats().events == sum(each.manifest.events for each in done[: n + 1])
    shutil.copy(done[1].path, tmp_path / "alone.backup")
    with pytest.raises(BackupError, match="is not beside it"):
        other.restore(tmp_path / "alone.backup", instance="alone")
    shutil.copy(done[0].path, tmp_path / "renamed.backup")
    assert restored(other, tmp_path / "renamed.backup", "full").stats().events == done[0].manifest.events


def test_a_stream_has_any_number_of_backups_one_after_the_other(
    sim: Instance, other: Archive, tmp_path: Path
) -> None:
    done = grow(sim, tmp_path / "copies", 3)
    stream = b"".join(backup.path.read_bytes() for backup in done)
    assert answers(restored(other, io.BytesIO(stream).read)) == answers(sim)
    for n, (wrong, reason) in enumerate(
        (
            (done[1:], "which is missing"),
            ([done[0], done[3]], "and the one before it goes up to"),
            ([done[0], done[2], done[1]], "and the one before it goes up to"),
            ([], "it is empty"),
        )
    ):
        stream = b"".join(backup.path.read_bytes() for backup in wrong)
        with pytest.raises(BackupError, match=reason):
            other.restore(io.BytesIO(stream).read, instance=f"wrong{n}")
        assert other.instances() == ["sim"]
    two = done[0].path.read_bytes() * 2
    with pytest.raises(BackupError, match="was not restored"):
        other.restore(io.BytesIO(two).read, instance="first")
    assert other.instances() == ["first", "sim"]


def test_a_chain_with_a_gap_is_found_out_and_restored_as_far_as_it_goes(
    sim: Instance, other: Archive, tmp_path: Path
) -> None:
    done = grow(sim, tmp_path / "copies", 3)
    done[1].path.unlink()
    faults = {check.where: check.fault for check in verify_backup(tmp_path / "copies")}
    assert faults[str(done[0].path)] is None
    assert "which it continues, is missing" in str(faults[str(done[2].path)])
    assert restored(other, tmp_path / "copies").stats().events == done[0].manifest.events
    with pytest.raises(BackupError, match="is not beside it"):
        other.restore(done[3].path, instance="later")
    assert sim.backup(tmp_path / "copies", incremental=True).manifest.after == done[0].manifest.cursor
    done[0].path.unlink()
    with pytest.raises(BackupError, match="no full backup of sim"):
        other.restore(tmp_path / "copies", instance="none")
    assert sim.backup(tmp_path / "copies", incremental=True).manifest.full


def test_another_history_begins_with_a_full_backup(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        fill(sim)
        first = sim.backup(copies)
    shutil.copytree(tmp_path / "a", tmp_path / "older")
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim")
        sim.append(Event("lost"))
        lost = sim.backup(copies, incremental=True)
    with Archive.open(tmp_path / "older", options=SMALL) as archive:  # put back to an older state
        sim = archive.instance("sim")
        sim.append(Event("instead", generation_time=7))
        with pytest.raises(OtherHistoryError):
            sim.backup_stream(lost.manifest.cursor)
        assert sim.backup(copies, incremental=True).manifest.full
        archive.restore(first.path, instance="restored")
        again = archive.instance("restored")
        with pytest.raises(OtherHistoryError):
            again.backup_stream(first.manifest.cursor)
        assert again.backup(copies, incremental=True).manifest.full
    assert sound(copies)
    for bad in ("made up", again_middle(tmp_path)):
        with Archive.open(tmp_path / "a", options=SMALL) as archive, pytest.raises(BadCursorError):
            archive.instance("sim").backup_stream(bad)


def again_middle(tmp_path: Path) -> str:
    """A cursor within a commit."""
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        return next(archive.instance("sim").changes()).cursor


def test_several_instances_share_a_folder(sim: Instance, other: Archive, tmp_path: Path) -> None:
    fill(sim)
    bench = other.instance("bench", create=True)
    bench.append(Event("one"))
    for one in (sim, bench):
        one.backup(tmp_path / "copies")
        one.append(Event("two", generation_time=1))
        one.backup(tmp_path / "copies", incremental=True)
    with pytest.raises(InvalidInputError, match="bench, sim"):
        other.restore(tmp_path / "copies", instance="nosuch")
    with Archive.open(tmp_path / "third", options=SMALL) as third:
        assert [done.instance for done in third.restore(tmp_path / "copies")] == ["bench", "sim"]
        assert answers(third.instance("sim")) == answers(sim)
        assert answers(third.instance("bench")) == answers(bench)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_chains_are_kept(sim: Instance, tmp_path: Path, keep: int) -> None:
    copies = tmp_path / "copies"
    made: list[list[Backup]] = []
    for turn in range(4):
        sim.append(Event(f"{turn}"))
        made.append([sim.backup(copies, keep=keep)])
        sim.append(Event(f"{turn} more"))
        made[-1].append(sim.backup(copies, incremental=True, keep=keep))
        (copies / "notes.txt").touch()
    gone = [backup.path for chain in made[:-keep] for backup in chain]
    left = {backup.path for chain in made[-keep:] for backup in chain}
    assert {path for path in copies.iterdir() if path.name != "notes.txt"} == left
    assert not any(path.exists() for path in gone)
    assert sound(copies)


def test_only_files_of_the_same_history_are_deleted(sim: Instance, other: Archive, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    namesake = other.instance("sim", create=True)
    namesake.append(Event("another archive's"))
    foreign = namesake.backup(copies)
    sim.append(Event("one"))
    first, _ = sim.backup(copies), sim.backup(copies)
    broken = copies / "sim.20200101T000000Z.1.full.backup"
    broken.write_bytes(first.path.read_bytes()[:-1])
    stranger = copies / "sim.20200101T000001Z.1.full.backup"
    stranger.write_text("not ours")
    last = sim.backup(copies, keep=1)
    assert set(copies.iterdir()) == {foreign.path, broken, stranger, last.path}
    assert len(last.deleted) == 2
    for bad in (0, -1, True, "1"):
        with pytest.raises(InvalidInputError):
            sim.backup(copies, keep=bad)  # type: ignore[arg-type]


def test_one_backup_at_a_time_is_written_to_a_folder(
    sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(sim)
    refused: list[LockedError] = []

    def meanwhile(point: str) -> None:
        if point == "backup-written":
            with pytest.raises(LockedError) as caught:
                sim.backup(tmp_path / "copies")
            refused.append(caught.value)

    monkeypatch.setattr(failpoints, "on_point", meanwhile)
    sim.backup(tmp_path / "copies")
    assert len(refused) == 1
    assert len(list_backups(tmp_path / "copies")) == 1


def test_a_rate_is_kept(sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        assert seconds > 0
        now_s += seconds

    monkeypatch.setattr(folder, "time", SimpleNamespace(monotonic=lambda: now_s, sleep=sleep))
    fill(sim)
    done = sim.backup(tmp_path / "copies", rate_bytes_per_s=100)
    assert done.seconds == now_s == pytest.approx(done.bytes / 100)
    assert sim.backup(tmp_path / "copies").seconds == 0


# Damage


@pytest.fixture
def stream(sim: Instance) -> bytes:
    sim.append_many(numbered(0, 20), request_id="one")
    sim.append(Event("row", "R", generation_time=5))
    return b"".join(sim.backup_stream())


def refused(archive: Archive, stream: bytes) -> str:
    """Return why a stream is refused, by verify and by restore; neither leaves anything."""
    checks = verify_backup_stream(io.BytesIO(stream).read, "-")
    assert checks[-1].fault is not None
    with pytest.raises((BackupError, FormatVersionError)) as caught:
        archive.restore(io.BytesIO(stream).read, instance="sim")
    assert archive.instances() == []
    assert [entry.name for entry in archive.path.iterdir() if entry.name.startswith(".")] == []
    if isinstance(caught.value, BackupError):
        assert caught.value.reason == checks[-1].fault
    return str(caught.value)


def test_every_flipped_byte_is_found(stream: bytes, other: Archive) -> None:
    for at in {*range(0, len(stream), 3), *range(len(stream) - 30, len(stream)), *range(60)}:
        flipped = stream[:at] + bytes([stream[at] ^ (1 << at % 8)]) + stream[at + 1 :]
        checks = verify_backup_stream(io.BytesIO(flipped).read, "-")
        assert checks[-1].fault is not None, at
    for at in range(0, len(stream), len(stream) // 12):
        refused(other, stream[:at] + bytes([stream[at] ^ 16]) + stream[at + 1 :])


def test_every_truncated_stream_is_refused(stream: bytes, other: Archive) -> None:
    edges = {end for frame in frames_of(stream) for end in (frame[0], frame[0] + 15, frame[1] - 1)}
    for end in sorted(edges | set(range(0, len(stream), 29)) | set(range(len(stream) - 30, len(stream)))):
        checks = verify_backup_stream(io.BytesIO(stream[:end]).read, "-")
        assert checks[-1].fault is not None, end
    for end in (0, 1, 22, 30, len(stream) // 2, len(stream) - 1):
        assert "it ends before its manifest" in refused(other, stream[:end]) or not end
    refused(other, stream + b"x")
    refused(other, b"x" + stream)


def frames_of(stream: bytes) -> list[tuple[int, int]]:
    """Where each frame of a stream begins and ends."""
    found, at = [], len(b"yamcs_archive backup 1\n")
    while at < len(stream) - 24:
        size_bytes = int.from_bytes(stream[at + 4 : at + 8], "big")
        found.append((at, at + 16 + size_bytes))
        at = found[-1][1]
    return found


def test_a_frame_that_is_missing_doubled_or_moved_is_found(stream: bytes, other: Archive) -> None:
    frames = frames_of(stream)
    assert len(frames) > 5
    for begin, end in frames:
        refused(other, stream[:begin] + stream[end:])
        refused(other, stream[:end] + stream[begin:])
    for (begin, middle), (_, end) in pairwise(frames):
        refused(other, stream[:begin] + stream[middle:end] + stream[begin:middle] + stream[end:])


def test_a_later_format_is_said_to_be_one(stream: bytes, other: Archive) -> None:
    later = stream.replace(b"backup 1\n", b"backup 2\n", 1)
    assert "format version" in refused(other, later)


def test_what_the_checksums_cannot_know_is_compared(
    sim: Instance, other: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup whose bytes are sound and whose content is not: a frame is left out before it is numbered."""
    sim.append_many(numbered(0, 40), request_id="one")
    sim.append(Event("row", "R", generation_time=5))
    whole_frame = FrameWriter.frame
    for kind, reason in (
        ("blks", "manifest says frames|its manifest says events|should have"),
        ("evts", "its manifest says"),
        ("cmts", "its manifest says"),
        ("srcs", "its manifest says"),
        ("reqs", "its manifest says"),
        ("meta", "its facts are missing"),
    ):
        left_out: list[str] = []

        def frame(
            self: Any, given: str, payload: bytes, kind: str = kind, out: list[str] = left_out
        ) -> bytes:
            if given == kind and not out:
                out.append(given)
                return b""
            return whole_frame(self, given, payload)

        monkeypatch.setattr(FrameWriter, "frame", frame)
        incomplete = b"".join(sim.backup_stream())
        monkeypatch.setattr(FrameWriter, "frame", whole_frame)
        assert left_out == [kind]
        assert re.search(reason, refused(other, incomplete)), kind


def test_files_that_are_no_backups_are_said_to_be_none(sim: Instance, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    done = sim.backup(copies)
    whole = done.path.read_bytes()
    for content in (b"", b"x", whole[:-1], whole[:-24], whole[:-1] + b"x", whole[-24:]):
        done.path.write_bytes(content)
        with pytest.raises(BackupError, match=r"was cut short|is damaged"):
            list_backups(done.path)
        with pytest.raises(BackupError):
            list_backups(copies)
        [check] = verify_backup(copies)
        assert check.fault
    done.path.write_bytes(whole * 2)
    assert "another backup follows" in str(verify_backup(copies)[0].fault)
    with pytest.raises(GoneError):
        list_backups(tmp_path / "nosuch")
    with pytest.raises(GoneError):
        verify_backup(tmp_path / "nosuch")


@pytest.mark.parametrize("changed", [{"instance": "../../sim"}, {"instance": "bench"}, {"created": 2**62}])
def test_a_server_cannot_choose_where_a_backup_is_written(
    sim: Instance, tmp_path: Path, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = FrameWriter.manifest
    monkeypatch.setattr(
        FrameWriter, "manifest", lambda self, manifest: honest(self, replace(manifest, **changed))
    )
    with pytest.raises(BackupError, match=r"it is of|it says that it was made"):
        sim.backup(tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_backup_cannot_choose_where_it_is_restored(other: Archive) -> None:
    writer = FrameWriter()
    head = BackupHead("../sim", "00" * 8, 0, "", None, 0, 0)
    meta = encode_meta(Meta("sim", bytes(8), 0))
    stream = writer.frame("head", encode_head(head)) + writer.frame("meta", msgpack.packb(meta))
    with pytest.raises(InvalidInputError):
        other.restore(io.BytesIO(stream).read)
    assert sorted(entry.name for entry in other.path.parent.iterdir()) == ["other"]


# Promotion of a mirror


def test_a_promoted_mirror_takes_events_and_keeps_its_cursors(sim: Instance, other: Archive) -> None:
    fill(sim)
    copy = other.instance("copy", create=True)
    with pytest.raises(NotAMirrorError):
        copy.promote()
    state = MirrorState("http://127.0.0.1:8090", "sim", sim.cursor())
    copy.take_over(list(sim.commits()), state)
    with pytest.raises(ReadOnlyError):
        copy.append(Event("refused"))
    cursor = copy.cursor()
    assert copy.promote() == state
    assert copy.mirrored is None
    stored = copy.append(Event("its own")).event
    assert [change.event for change in copy.changes(after=cursor)] == [stored]
    with pytest.raises(NotAMirrorError):
        copy.promote()
    other.close()
    with Archive.open(other.path, options=SMALL) as again:
        assert again.instance("copy").mirrored is None
        assert again.instance("copy").append(Event("more")).event.seq_number == 1
    with Archive.open(other.path, readonly=True) as reading, pytest.raises(ReadOnlyError):
        reading.instance("copy").promote()


def test_bad_arguments_are_refused_before_anything_is_written(sim: Instance, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    wrong: list[dict[str, Any]] = [
        {"incremental": "yes"},
        {"rate_bytes_per_s": 0},
        {"keep": 1.5},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidInputError):
            sim.backup(copies, **arguments)
    with pytest.raises(InvalidInputError):
        sim.backup_stream(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        sim.backup("")
    assert not copies.exists()
