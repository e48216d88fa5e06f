"""What an instance counts since its opening, and what it uses: its rules at their edges, and in failures."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest

from tests.child import WAIT_S, start
from tests.sizes import around
from yamcs_archive import (
    Archive,
    ClosedError,
    ConflictError,
    Event,
    ExpiredError,
    GoneError,
    Instance,
    Options,
    OutcomeUnknownError,
    ReadOnlyError,
)
from yamcs_archive.activity import COMMIT_EVENTS, COMMIT_SECONDS, InstanceActivity
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.limits import GROUP_EVENTS_MAX
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk import usage
from yamcs_archive.storage.disk.usage import CHECK_AFTER_S, ReaderWatch, look_at_readers
from yamcs_archive.storage.write.write_counts import LATE_US

NOW = 1_800_000_000_000_000


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Instance]:
    """An instance whose clock stands still, and which is not maintained."""
    options = Options(clock=lambda: NOW, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        yield archive.instance("sim", create=True)


@pytest.mark.parametrize("many", [1, 2, *around(["storage.write.outcomes._VECTOR_EVENTS_MIN"])])
def test_an_event_is_late_if_it_was_generated_more_than_a_minute_before(still: Instance, many: int) -> None:
    def append(times: list[int]) -> int:
        before = still.activity().late
        still.append_many(Event(f"{n}", generation_time=time) for n, time in enumerate(times))
        return still.activity().late - before

    assert append([NOW - LATE_US + n for n in range(many)]) == 0
    assert append([NOW - LATE_US - 1 - n for n in range(many)]) == many
    assert append([NOW + n for n in range(1, many)] + [NOW - LATE_US - many - 1]) == 1
    done = still.activity()
    assert done.stored == 3 * many
    assert done.commit_events.total == done.stored


def test_refused_events_are_counted_by_reason_and_once(still: Instance) -> None:
    first = [Event(f"{n}", generation_time=NOW + n, seq_number=n) for n in range(3)]
    assert still.append_many(first).stored == 3
    mixed = [
        first[0],
        Event("other", generation_time=NOW + 1, seq_number=1),
        Event("new", generation_time=NOW + 9),
        Event("new", generation_time=NOW + 10),
    ]
    still.append_many(mixed)
    still.append_many(mixed[:1])  # nothing new: no transaction is committed
    with pytest.raises(ConflictError):
        still.append(mixed[1])
    done = still.activity()
    assert (done.stored, done.duplicates, done.conflicts, done.expired) == (5, 2, 2, 0)
    assert (done.commit_events.count, done.commit_seconds.count) == (2, 2)
    still.prune(max_events=1)
    with pytest.raises(ExpiredError):
        still.append(Event("old", generation_time=5, seq_number=5))
    assert still.activity().expired == 1
    assert still.activity().commits_failed == 0
    request = Event("asked")
    still.append(request, request_id="r1")
    still.append(request, request_id="r1")
    assert (still.activity().stored, still.activity().duplicates) == (6, 3)


def test_a_commit_is_in_the_class_of_its_size(still: Instance) -> None:
    sizes = [1, 1, 2, 3, 5, 6, 10, 11, 499, 500, 501]
    for turn, size in enumerate(sizes):
        still.append_many([Event(f"{n}", generation_time=NOW + 1000 * turn + n) for n in range(size)])
    found = still.activity().commit_events
    classes = dict(zip((*COMMIT_EVENTS, None), found.counts, strict=True))
    assert {bound: count for bound, count in classes.items() if count} == {
        1: 2,
        2: 1,
        5: 2,
        10: 2,
        20: 1,
        500: 2,
        1000: 1,
    }
    assert (found.count, found.total) == (len(sizes), sum(sizes))


def test_the_classes_are_rising_and_reach_the_largest_commit() -> None:
    for bounds in (COMMIT_EVENTS, COMMIT_SECONDS):
        assert list(bounds) == sorted(set(bounds))
    assert COMMIT_EVENTS[-1] >= GROUP_EVENTS_MAX


def test_many_callers_at_once_are_counted_exactly(sim: Instance) -> None:
    def append(caller: int) -> None:
        for n in range(50):
            sim.append(Event(f"{n}", source=f"S{caller}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(8)))
    done = sim.activity()
    assert (done.stored, done.commit_events.total) == (400, 400)
    assert done.commit_events.count == done.commit_seconds.count <= 400


def test_numbers_only_grow_and_begin_anew_with_the_process(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event(f"{n}", generation_time=n) for n in range(300))
        sim.settle()
        sim.compact()
        sim.append(Event("after"))
        done = sim.activity()
        assert done.stored == 301
    assert sim.activity() == done  # also after it was closed
    with pytest.raises(ClosedError):
        sim.usage()
    with pytest.raises(ClosedError):
        sim.summary()
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        sim = archive.instance("sim")
        assert sim.activity() == InstanceActivity()
        summary = sim.summary()
        assert (summary.events, summary.activity) == (301, None)
        with pytest.raises(ReadOnlyError):
            sim.append(Event("a"))


def failing(at: str, error: BaseException) -> Callable[[str], None]:
    def act(name: str) -> None:
        if name == at:
            raise error

    return act


@pytest.mark.parametrize(("count", "by"), [(1, "own thread"), (3, "own thread"), (1, "writer")])
def test_a_failed_commit_is_counted_and_what_it_stored_is_not(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, count: int, by: str
) -> None:
    events = [Event(f"{n}", source=f"S{n}", generation_time=n, seq_number=n) for n in range(count)]
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "on_point", failing("after-commit", OSError("a failing medium")))
        append = sim.append_many if by == "own thread" else lambda _: sim.submit(events[0]).result(WAIT_S)
        with pytest.raises(OutcomeUnknownError):
            append(events)
    done = sim.activity()
    assert (done.commits_failed, done.stored) == (1, 0)
    assert [sim.append(event).duplicate for event in events] == [True] * count
    assert sim.activity().duplicates == count


def test_a_full_disk_is_a_failed_commit(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "on_point", failing("before-commit", lmdb.DiskError("no space")))
        with pytest.raises(OutOfSpaceError):
            sim.append(Event("a"))
        with pytest.raises(OutOfSpaceError):
            sim.submit(Event("a")).result(WAIT_S)
    assert (sim.activity().commits_failed, sim.activity().stored) == (2, 0)
    sim.append(Event("a"))
    assert sim.activity().stored == 1


def test_an_interrupt_at_any_point_counts_nothing_twice(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth, point in enumerate(("group-taken", "outcomes-known", "before-commit", "after-commit")):
        event = Event(point, generation_time=nth, seq_number=nth)
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "on_point", failing(point, KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                sim.append(event)
        sim.append(event)
    done = sim.activity()
    # The one that was interrupted after its commit is stored, and nobody was told so.
    assert done.stored + done.duplicates == 4
    assert done.stored in (3, 4)


def test_usage_follows_what_is_stored_settled_and_compacted(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        assert (sim.usage().young_events, sim.usage().blocks) == (0, 0)
        for n in range(300):
            sim.append(Event("m" * 100, generation_time=n))
        young = sim.usage()
        assert (young.young_events, young.blocks) == (300, 0)
        for n in range(300, 310):
            sim.settle()  # which leaves pages to later transactions
            sim.append(Event("m" * 100, generation_time=n))
        before = sim.usage()
        assert (before.young_events, before.blocks) == (1, 1)
        sim.compact()
        after = sim.usage()
        assert (after.young_events, after.blocks) == (0, 1)
        assert after.file_bytes < before.file_bytes
        assert after.map_used_bytes < before.map_used_bytes <= before.map_bytes
        assert after.file_bytes == blocks_bytes(tmp_path / "a") == sim.stats().allocated_bytes


def blocks_bytes(archive: Path) -> int:
    """What the files of the only generation take on the medium."""
    return sum(file.stat().st_blocks * 512 for file in archive.glob("sim/gen-*/*"))


def test_usage_counts_the_segments_of_the_log(tmp_path: Path) -> None:
    options = Options(maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        without = sim.usage().file_bytes
        sim.append(Event("a", generation_time=0))
        [segment] = (tmp_path / "a").glob("sim/gen-*/log-*")
        assert sim.usage().file_bytes >= without + segment.stat().st_blocks * 512 > without
        assert sim.usage().file_bytes == blocks_bytes(tmp_path / "a")
        with Archive.open(tmp_path / "a", readonly=True) as reader:
            assert reader.instance("sim").usage().file_bytes == blocks_bytes(tmp_path / "a")
        sim.settle()
        assert not [*(tmp_path / "a").glob("sim/gen-*/log-*")]
        assert sim.usage().file_bytes == blocks_bytes(tmp_path / "a")


def test_usage_passes_over_a_segment_that_is_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("a", generation_time=0))
        before = blocks_bytes(tmp_path / "a")
        [segment] = (tmp_path / "a").glob("sim/gen-*/log-*")
        segment_bytes = segment.stat().st_blocks * 512
        real = os.scandir

        @contextmanager
        def scandir(folder: Path) -> Iterator[list[os.DirEntry[str]]]:
            with real(folder) as files:
                found = [*files]
            monkeypatch.undo()
            sim.settle()
            assert segment.name in [file.name for file in found]
            assert not segment.exists()
            yield found

        monkeypatch.setattr(os, "scandir", scandir)
        assert sim.usage().file_bytes == before - segment_bytes  # data.mdb was looked at before it grew
        assert sim.usage().file_bytes == blocks_bytes(tmp_path / "a")


@pytest.mark.damaging
def test_usage_of_a_file_that_is_gone_says_so(sim: Instance, archive: Archive) -> None:
    sim.append(Event("a"))
    for file in archive.path.glob("sim/gen-*/data.mdb"):
        file.unlink()
    with pytest.raises(GoneError, match=r"data\.mdb"):
        sim.usage()
    assert sim.activity().stored == 1


def test_a_reader_is_old_from_the_first_commit_on_that_it_does_not_see() -> None:
    watch = ReaderWatch()
    assert watch.oldest_s([], 5, 0.0) == 0
    assert watch.oldest_s([5, 5], 5, 10.0) == 0  # idle: it keeps nothing
    assert watch.oldest_s([5], 6, 11.0) == 0  # seen behind for the first time
    assert watch.oldest_s([5, 6], 7, 20.0) == 9
    assert watch.oldest_s([6, 7], 7, 21.0) == 1  # the older one ended
    assert watch.oldest_s([7], 7, 22.0) == 0
    assert watch.oldest_s([7], 8, 23.0) == 0


READ = """
    archive = Archive.open(sys.argv[1], readonly=True)
    sim = archive.instance("sim")
    with sim._store._environment.read() as transaction:
        print("reading", flush=True)
        sys.stdin.read()
    """


def reader_of(archive: Archive) -> subprocess.Popen[str]:
    child = start(READ, archive.path)
    assert child.stdout is not None
    assert child.stdout.readline() == "reading\n"
    return child


def test_a_reader_that_keeps_pages_is_seen_and_a_killed_one_is_removed(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = sim._store
    now_s = [time.monotonic()]
    monkeypatch.setattr("yamcs_archive.storage.lmdb_store.time.monotonic", lambda: now_s[0], raising=True)
    sim.append(Event("a"))
    child = reader_of(archive)
    try:
        assert sim.usage().oldest_reader_seconds == 0
        sim.settle()  # which changes LMDB's pages, unlike an append
        look_at_readers(store._environment, store._readers, now_s[0])
        readers = sim.usage().readers
        assert readers >= 2
        now_s[0] += 100
        assert sim.usage().oldest_reader_seconds >= 99
        look_at_readers(store._environment, store._readers, now_s[0])
        assert sim.usage().readers == readers  # its process lives
        assert sim.activity().stale_readers_cleared == 0
        os.kill(child.pid, signal.SIGKILL)
        child.wait(WAIT_S)
        look_at_readers(store._environment, store._readers, now_s[0])
        found = sim.usage()
        assert (found.readers, found.oldest_reader_seconds) == (readers - 1, 0)
        assert sim.activity().stale_readers_cleared == 1
    finally:
        child.kill()
        child.communicate()


def test_the_table_is_checked_only_once_a_reader_has_been_behind(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, checks = ReaderWatch(), [0]

    class Lmdb:
        def reader_check(self) -> int:
            checks[0] += 1
            return 0

        def info(self) -> dict[str, int]:
            return {"last_txnid": 9}

    class Environment:
        lmdb = Lmdb()

    monkeypatch.setattr(usage, "_transactions", lambda _: [8])
    environment: Any = Environment()
    for at_s, checked in [(0.0, 0), (CHECK_AFTER_S - 0.01, 0), (CHECK_AFTER_S, 1), (CHECK_AFTER_S + 1, 2)]:
        usage._look(environment, watch, at_s)
        assert checks[0] == checked, at_s


def test_a_full_table_that_cannot_be_put_into_blocks_is_a_backlog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]
        sim.append(Event("a"))
        maintenance._writer.freeze()  # as if the table were full
        with monkeypatch.context() as patch:

            def fail(*_: object, **__: object) -> None:
                raise OutOfSpaceError("somewhere", "no space")

            patch.setattr(maintenance, "_made", fail)
            for now in (60_000_000, 70_000_000):
                with pytest.raises(OutOfSpaceError):
                    maintenance.look(now)
            assert maintenance.backlog_us(90_000_000) == 30_000_000
        maintenance.look(100_000_000)
        assert maintenance.backlog_us(10**9) == 0
        assert sim.usage().young_events == 0


def test_a_forked_child_gets_no_numbers_of_its_parent_s_files(sim: Instance) -> None:
    sim.append(Event("a"))
    child = os.fork()
    if child == 0:
        try:
            sim.usage()
        except Exception as error:
            os._exit(7 if type(error).__name__ == "ForkedError" else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
