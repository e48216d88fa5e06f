"""Compaction loses and doubles no event, though others write, read, fail or are killed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.child import WAIT_S, run, start
from tests.storage.compacting import HELD, folder, mixed, only
from tests.storage.test_checkpoints import SMALL, entries, events, whole
from yamcs_archive import Archive, Event, EventKey, Instance
from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    NotAnArchiveError,
    ReadOnlyError,
)
from yamcs_archive.results import Appended
from yamcs_archive.storage.disk.lock_file import LOCK_BYTES
from yamcs_archive.storage.failpoints import COMPACT_POINTS
from yamcs_archive.storage.maintain import compaction


def test_the_events_stay_and_the_space_is_returned(small: Instance, tmp_path: Path) -> None:
    for event in events(1000):
        small.append(event)
    small.append(small.append(Event("twice", generation_time=5)).event)
    before = list(small.events()), list(small.changes()), small.sources(), small.cursor()
    stats = small.stats()
    done = small.compact()
    assert (list(small.events()), list(small.changes()), small.sources(), small.cursor()) == before
    whole(small)
    assert done.before_bytes == stats.allocated_bytes
    assert done.after_bytes == small.stats().allocated_bytes
    # The lock file has all its blocks before and after.
    assert done.after_bytes - LOCK_BYTES < (done.before_bytes - LOCK_BYTES) / 2
    assert small.stats().duplicates == 1
    assert entries(small)["young"] == 0
    assert folder(tmp_path / "a" / "sim") == only(2)
    assert small.append(Event("next", source="S")).event.seq_number == 1000
    assert small.compact().after_bytes <= done.after_bytes + 4096 * 8
    assert folder(tmp_path / "a" / "sim") == only(3)
    whole(small)


def test_an_empty_instance_can_be_compacted(small: Instance) -> None:
    small.compact()
    assert small.append(Event("first")).event.seq_number == 0
    whole(small)


def test_the_points_passed_are_the_points_listed(small: Instance, at: Any) -> None:
    passed: list[str] = []
    at(passed.append)
    small.compact()
    assert tuple(passed) == COMPACT_POINTS


@pytest.mark.parametrize("slice_values_max", [1, 2, 10_000])
def test_events_appended_at_any_step_are_stored_once_and_in_order(
    tmp_path: Path, at: Any, monkeypatch: pytest.MonkeyPatch, slice_values_max: int
) -> None:
    monkeypatch.setattr(compaction, "CARRIED_VALUES_MAX", slice_values_max)
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        mixed(sim)
        arrived = [change.event for change in sim.changes()]
        head = sim.cursor()
        submitted: list[Future[Appended]] = []

        def append(point: str) -> None:
            n = COMPACT_POINTS.index(point)
            new = [
                Event(point, source="row", generation_time=n * 31 + 1),
                Event(point, source="new", generation_time=10_000 + n),
            ]
            blocks = [Event(point, source="block", generation_time=g) for g in range(-n * 20 - 20, -n * 20)]
            if point in HELD:
                submitted.extend(sim.submit(event) for event in (*new, *blocks))
                return
            for event in new:
                arrived.append(sim.append(event).event)
            for chunk in (blocks, events(20 + n, source="later")):  # before everything; among the others
                sim.append_many(chunk)
            assert sim.append_many([arrived[0]]).duplicates == 1

        at(append)
        sim.compact()
        stored = {future.result(30).event.key for future in submitted}
        assert len(stored) == 22 * len(HELD)
        expected = 161 + len(stored) + sum(22 + 20 + n for n in range(12) if COMPACT_POINTS[n] not in HELD)
        for _ in range(2):
            whole(sim)
            assert sim.stats().events == expected
            assert sim.stats().duplicates == len(COMPACT_POINTS) - len(HELD)
            assert stored <= {event.key for event in sim.events()}
            keys = {event.key for event in arrived}
            assert [c.event for c in sim.changes() if c.event.key in keys] == arrived  # in commit order
            assert sum(1 for _ in sim.changes(after=head)) == expected - 161
            sim.settle()
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim")
        whole(sim)
        assert sim.stats().events == expected


def test_threads_append_and_read_while_it_is_compacted_again_and_again(small: Instance) -> None:
    mixed(small)
    first = {event.key for event in small.events()}
    done = threading.Event()
    acknowledged: list[set[EventKey]] = [set() for _ in range(3)]
    faults: list[BaseException] = []

    def write(worker: int) -> None:
        n = 0
        while not done.is_set():
            n += 1
            if n % 5:
                events = [Event("m", source=f"W{worker}", generation_time=n * 997 % 5000, seq_number=n)]
                acknowledged[worker].add(small.append(events[0]).event.key)
            else:
                events = [
                    Event("m", source=f"W{worker}", generation_time=n * 100 + m, seq_number=n * 1000 + m)
                    for m in range(30)
                ]
                assert small.append_many(events).stored == 30
                acknowledged[worker].update(event.key for event in events)

    def read() -> None:
        while not done.is_set():
            for descending in (False, True):
                must = first.union(*map(set, acknowledged))  # before the scan begins
                found = [event.key for event in small.events(descending=descending)]
                assert found == sorted(set(found), reverse=descending)
                assert must <= set(found)
            arrived = [change.event.key for change in small.changes()]
            assert len(arrived) == len(set(arrived))

    def guarded(work: Callable[..., None], *arguments: int) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            faults.append(error)
            done.set()

    threads = [threading.Thread(target=guarded, args=(write, worker)) for worker in range(3)]
    threads.append(threading.Thread(target=guarded, args=(read,)))
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            small.compact()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert faults == []
    whole(small)
    assert {event.key for event in small.events()} == first.union(*acknowledged)


def test_iterators_and_cursors_continue_after_a_compaction(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        mixed(sim)
        with Archive.open(tmp_path / "a", readonly=True) as beside:
            for one in (sim, beside.instance("sim")):
                in_order, reverse, followed = one.events(), one.events(descending=True), one.changes()
                began = [[next(supply) for _ in range(9)] for supply in (in_order, reverse)]
                arrived = [next(followed) for _ in range(9)]
                sim.compact()
                everything = list(sim.events())
                assert began[0] + list(in_order) == everything
                assert began[1] + list(reverse) == everything[::-1]
                rest = list(one.changes(after=arrived[-1].cursor))
                assert arrived + rest == arrived + list(followed) == list(sim.changes())


def test_a_reading_process_goes_on_across_it_and_misses_nothing_acknowledged(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        mixed(sim)
        reader = start(
            """
            sim = Archive.open(sys.argv[1], readonly=True, options=Options(read_events_max=4)).instance("sim")
            for _ in sys.stdin:
                parked, followed = sim.events(), sim.changes()
                found = [next(parked) for _ in range(5)]
                arrived = [next(followed) for _ in range(5)]
                print("parked", flush=True)
                sys.stdin.readline()
                found += parked
                arrived += followed
                keys = [event.key for event in found]
                assert keys == sorted(set(keys))
                assert sorted(change.event.key for change in arrived) == keys
                assert list(sim.changes(after=arrived[4].cursor)) == arrived[5:]
                assert sim.stats().events == len(keys) and sim.stats().allocated_bytes > 0
                print(len(keys), found[-1].message, sim.get(found[-1].key).message, flush=True)
            """,
            tmp_path / "a",
        )
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            for n in range(1, 5):
                reader.stdin.write("park\n")
                reader.stdin.flush()
                assert reader.stdout.readline() == "parked\n"
                sim.append(Event(f"before {n}", generation_time=100_000 + n))
                sim.compact()
                if n % 2:
                    sim.compact()  # the reader's generation is removed, and so is the next one
                sim.append(Event(f"after {n}", generation_time=200_000 + n))
                reader.stdin.write("go on\n")
                reader.stdin.flush()
                assert reader.stdout.readline() == f"{161 + 2 * n} after {n} after {n}\n"
        finally:
            _, complaints = reader.communicate(timeout=WAIT_S)
        assert (reader.returncode, complaints) == (0, "")


def test_a_reader_that_begins_just_after_the_change_starts_again_in_the_new_generation(
    tmp_path: Path,
) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("before", generation_time=10))
        reader = start(
            """
            sim = Archive.open(sys.argv[1], readonly=True).instance("sim")
            environment = sim._store._environment
            opened = environment.lmdb

            class WaitsBeforeItBegins:
                def __getattr__(self, name):
                    return getattr(opened, name)

                def begin(self):
                    print("about to begin", flush=True)
                    sys.stdin.readline()
                    return opened.begin()

            environment.lmdb = WaitsBeforeItBegins()
            print([event.message for event in sim.events()], flush=True)
            """,
            tmp_path / "a",
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == "about to begin\n"
        sim.compact()
        sim.append(Event("after", generation_time=5))
        assert reader.communicate("begin\n", timeout=WAIT_S) == ("['after', 'before']\n", "")


def test_compactions_and_checkpoints_exclude_one_another(small: Instance, tmp_path: Path, at: Any) -> None:
    mixed(small)
    running = 0
    greatest = 0
    settled: list[bool] = []
    others: list[threading.Thread] = []

    def watch(point: str) -> None:
        nonlocal running, greatest
        running += (point == COMPACT_POINTS[0]) - (point == COMPACT_POINTS[-1])
        greatest = max(greatest, running)
        if point == "compact-copied":
            small.append(Event("a row", source="R"))
            others.append(threading.Thread(target=small.settle))
            others[-1].start()
        elif point == "compact-carried":
            settled.append(entries(small)["young"] == 0)

    at(watch)
    threads = [threading.Thread(target=small.compact) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in [*threads, *others]:
        thread.join()
    for thread in others:
        thread.join()
    assert (greatest, running, settled) == (1, 0, [False] * 3)
    assert folder(tmp_path / "a" / "sim") == only(4)
    small.settle()
    assert entries(small)["young"] == 0
    whole(small)


def test_closing_meanwhile_gives_it_up(tmp_path: Path, at: Any) -> None:
    archive = Archive.open(tmp_path / "a", options=SMALL)
    sim = archive.instance("sim", create=True)
    mixed(sim)
    closing = threading.Thread(target=archive.close)
    waits: list[bool] = []

    def close(point: str) -> None:
        if point == "compact-copied":
            closing.start()
            while not sim._store._maintenance._stopping.is_set():  # type: ignore[attr-defined]  # when it is told
                pass
            closing.join(0.1)
            waits.append(closing.is_alive())  # the lock is not given back while files are still in hand

    at(close)
    with pytest.raises(ClosedError):
        sim.compact()
    closing.join()
    assert waits == [True]
    assert folder(tmp_path / "a" / "sim") == only(1)
    with pytest.raises(ClosedError):
        sim.compact()
    with Archive.open(tmp_path / "a", options=SMALL) as again:
        whole(again.instance("sim"))
        assert again.instance("sim").stats().events == 161


def test_ctrl_c_during_the_wait_leaves_the_archive_whole(tmp_path: Path) -> None:
    printed = run(
        """
        import os, signal
        from yamcs_archive.storage import failpoints
        failpoints.on_point = lambda point: point == "compact-held" and os.kill(os.getpid(), signal.SIGINT)
        with Archive.open(sys.argv[1]) as archive:
            sim = archive.instance("sim", create=True)
            sim.append_many(Event(f"{n}") for n in range(5000))
            try:
                sim.compact()
            except KeyboardInterrupt:
                print("interrupted")
            print(sim.append(Event("after")).event.seq_number)
        """,
        tmp_path / "a",
    )
    assert printed == "interrupted\n5000\n"
    with Archive.open(tmp_path / "a") as archive:
        whole(archive.instance("sim"))
        assert archive.instance("sim").stats().events == 5001
        assert len(folder(tmp_path / "a" / "sim")[1]) == 1


def test_leftovers_are_removed_by_the_next_writer_and_ignored_by_readers(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append(Event("a"))
    instance = tmp_path / "a" / "sim"
    for name in ("gen-2", "gen-17", ".gen-1.old", ".gen-2.old"):
        (instance / name).mkdir()
        (instance / name / "data.mdb").write_bytes(b"half a copy")
    (instance / ".CURRENT.new").write_text("gen-")
    (instance / "notes.txt").write_text("not ours")
    there = folder(instance)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        assert archive.instance("sim").stats().events == 1
    assert folder(instance) == there
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim").append(Event("b"))
        assert folder(instance) == ("gen-1", ["gen-1", "notes.txt"])
        archive.instance("sim").compact()
        assert folder(instance) == ("gen-2", ["gen-2", "notes.txt"])
        assert archive.instance("sim").stats().events == 2


@pytest.mark.parametrize("text", ["", "gen-9\n", "gen-0\n", "../../etc\n", "gen-1\ngen-2\n", None])
def test_a_current_that_names_no_generation_is_refused_and_nothing_is_removed(
    tmp_path: Path, text: str | None
) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True)
    current = tmp_path / "a" / "sim" / "CURRENT"
    for readonly in (True, False):
        with Archive.open(tmp_path / "a", readonly=readonly) as archive:
            if text is None:
                reading = archive.instance("sim") if readonly else None
                current.unlink(missing_ok=True)
                with pytest.raises(ArchiveError):
                    reading.sources() if reading else archive.instance("sim")
                continue
            current.write_text(text)
            with pytest.raises(NotAnArchiveError, match="CURRENT names"):
                archive.instance("sim")
    assert (tmp_path / "a" / "sim" / "gen-1" / "data.mdb").exists()


def test_an_archive_that_is_read_only_is_not_compacted(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True)
    with (
        Archive.open(tmp_path / "a", readonly=True) as archive,
        pytest.raises(ReadOnlyError, match="cannot compact"),
    ):
        archive.instance("sim").compact()


_pairs = st.dictionaries(st.binary(min_size=1, max_size=2), st.binary(max_size=1), max_size=12)


@given(_pairs, _pairs)
def test_applying_the_differences_makes_both_equal(
    wanted: dict[bytes, bytes], found: dict[bytes, bytes]
) -> None:
    changes = list(compaction.differences(iter(sorted(wanted.items())), iter(sorted(found.items()))))
    assert [key for key, _ in changes] == sorted(
        key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)
    )
    for key, value in changes:
        if value is None:
            del found[key]
        else:
            found[key] = value
    assert found == wanted
