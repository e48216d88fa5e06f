"""Readers of the commit log, in this process and in others: a whole state, whatever comes in between."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from tests.storage.test_commit_log import filled, opened, record
from tests.storage.test_young import logged
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.errors import DamagedError, OutOfSpaceError, UnavailableError
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk import environment as environments
from yamcs_archive.storage.disk import log_files, log_tail
from yamcs_archive.storage.disk.boot import this_boot
from yamcs_archive.storage.disk.log_chain import LogGoneError, read_log
from yamcs_archive.storage.disk.log_files import read_end, segment_numbers
from yamcs_archive.storage.disk.log_tail import LogTail
from yamcs_archive.storage.format.commits import decode_commit
from yamcs_archive.storage.format.log_records import LogRecord
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Checkpoint
from yamcs_archive.storage.read.metadata import commit_pairs
from yamcs_archive.storage.write import checkpointer, writer_state
from yamcs_archive.storage.young import memory_table, views
from yamcs_archive.storage.young.memory_table import MemoryTable
from yamcs_archive.storage.young.views import MemoryTables

QUIET = Options(maintenance=False, run_events_min=40)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=QUIET) as archive:
        yield archive.instance("sim", create=True)


def environment(sim: Instance) -> Any:
    store: Any = sim._store
    return store._environment


def messages(sim: Instance) -> list[str]:
    return [event.message for event in sim.events()]


def test_a_reader_whose_checkpoint_is_past_sees_no_empty_log(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    tail = LogTail(lambda: tmp_path, lambda: None)
    seen = tail.view(NO_CHECKPOINT)
    assert seen is not None
    assert seen.parts[0][1].last == 3
    log.close()
    opened(tmp_path, 3)  # LMDB has everything: the segments are removed
    assert segment_numbers(tmp_path) == []
    again = tail.view(NO_CHECKPOINT)  # which it has read
    assert again is not None
    assert again.events == 3
    other = LogTail(lambda: tmp_path, lambda: None)
    assert other.view(NO_CHECKPOINT) is None
    with pytest.raises(LogGoneError, match="up to 3"):
        other.view(NO_CHECKPOINT, again=False)
    for reader in (tail, other):
        found = reader.view(Checkpoint(3, 0))
        assert found is not None
        assert found.events == 0


def test_threads_that_meet_the_same_checkpoint_are_all_sent_back(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    opened(tmp_path, 3)
    tail = LogTail(lambda: tmp_path, lambda: None)
    assert [tail.view(NO_CHECKPOINT) for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("gone", ["log-1", "log-2"])
def test_a_segment_with_acknowledged_records_that_is_gone_is_damage(tmp_path: Path, gone: str) -> None:
    log = filled(tmp_path, 3)
    log.roll()
    log.append(record(4))
    log.close()
    (tmp_path / gone).unlink()
    with pytest.raises(DamagedError):
        opened(tmp_path)
    assert opened(tmp_path, 4)[1] == []


def test_an_extension_that_was_interrupted_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 2)
    tail = LogTail(lambda: tmp_path, lambda: None)
    tail.view(NO_CHECKPOINT)
    log.append(record(3))
    with monkeypatch.context() as patch:

        def interrupted(table: MemoryTable, *_: object) -> None:
            table._arrivals._messages.append("half an event")
            raise KeyboardInterrupt

        patch.setattr(MemoryTable, "_add_one", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tail.view(NO_CHECKPOINT)
    log.append(record(4))
    view = tail.view(NO_CHECKPOINT)
    assert view is not None
    events, more = view.find(b"", b"\xff" * 40, descending=False, events_max=9)
    assert (len(events), more) == (4, False)
    assert [event.message for event in events.events()] == ["m0"] * 4


def test_without_a_writer_since_the_machine_started_the_log_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 2)
    end = read_end(tmp_path)
    assert end is not None
    log.append(record(3))
    log.close()
    (tmp_path / "log.end").write_bytes(end._replace(boot=end.boot ^ 1).encode())
    reads: list[object] = []

    def read(*arguments: Any, **named: Any) -> Any:
        reads.append(arguments)
        return read_log(*arguments, **named)

    monkeypatch.setattr(log_tail, "read_log", read)
    tail = LogTail(lambda: tmp_path, lambda: None)
    for _ in range(4):
        view = tail.view(NO_CHECKPOINT)
        assert view is not None
        assert view.events == 3
    assert len(reads) == 1
    log, _ = opened(tmp_path)
    log.append(record(4))
    view = tail.view(NO_CHECKPOINT)
    assert view is not None
    assert view.events == 4


def test_an_end_holds_only_where_the_start_of_the_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 1)
    end = read_end(tmp_path)
    assert end is not None
    assert end.boot == this_boot() != 0
    log.append(record(2))
    log.close()
    for boot, events in ((end.boot, 1), (end.boot ^ 1, 2), (0, 2)):
        monkeypatch.setattr(log_files, "this_boot", lambda boot=boot: boot)
        (tmp_path / "log.end").write_bytes(end._replace(boot=end.boot if boot else 0).encode())
        view = LogTail(lambda: tmp_path, lambda: None).view(NO_CHECKPOINT)
        assert view is not None
        assert view.events == events


class Between:
    """Does something between a reader's LMDB transaction and its look at the young events, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
        real = environments.Environment._young
        self.done = False

        def young(this: Any, transaction: Any, left_out: Any, *, again: bool) -> Any:
            if not self.done:
                self.done = True
                thread = threading.Thread(target=act)
                thread.start()
                thread.join()
            return real(this, transaction, left_out, again=again)

        monkeypatch.setattr(environments.Environment, "_young", young)


@pytest.mark.parametrize("own", [True, False])
def test_a_bulk_commit_between_a_transaction_and_its_view_is_not_passed_over(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """The view would have the commit after it, and no later record tells that one is missing."""
    sim.append(Event("first", generation_time=0))
    sim.settle()
    if not own:  # as another process reads
        monkeypatch.setattr(environment(sim), "young", LogTail(lambda: environment(sim).path, lambda: None))

    def write() -> None:
        sim.append_many(Event(f"bulk {n}", generation_time=n) for n in range(1, 50))
        sim.append(Event("last", generation_time=100))

    between = Between(monkeypatch, write)
    with environment(sim).snapshot() as snapshot:
        pairs, _ = commit_pairs(environment(sim), snapshot, b"", b"\xff" * 9, 100)
    assert between.done
    assert [decode_commit(*pair).first for pair in pairs] in ([1], [1, 2, 3])


def test_a_checkpoint_between_a_transaction_and_its_view_loses_nothing(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.append(Event("first", generation_time=0))
    tail = LogTail(lambda: environment(sim).path, lambda: None)
    monkeypatch.setattr(environment(sim), "young", tail)
    between = Between(monkeypatch, sim.settle)
    assert messages(sim) == ["first"]
    assert between.done


def test_a_reader_never_waits_for_ever_for_a_view(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.append(Event("first"))
    monkeypatch.setattr(environments, "_TRIES_S", 0.05)
    monkeypatch.setattr(MemoryTables, "view", lambda *_, **__: None)
    with pytest.raises(UnavailableError, match="do not fit"):
        messages(sim)


def test_events_are_read_while_nobody_knows_whether_a_checkpoint_is_stored(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is, and carries late events; then the log cannot be recovered, as on a full medium."""
    for block in range(2):
        sim.append_many(Event("m", generation_time=1_000 * block + n) for n in range(50))
    for n in (30, 1_030):
        sim.append(Event("late", source="L", generation_time=n))
    store: Any = sim._store
    broken = True
    real = os.posix_fallocate, os.pwrite

    def act(name: str) -> None:
        if name == "task-after-commit" and broken:
            monkeypatch.setattr(writer_state, "CommitLog", refuse)
            raise lmdb.DiskError("No space left on device")

    def refuse(_: Path) -> Any:
        raise OutOfSpaceError("log", "No space left on device")

    monkeypatch.setattr(failpoints, "on_point", act)
    with pytest.raises(OutOfSpaceError):
        store._writer.checkpoint_all(10)
    broken = False
    assert real
    assert len(messages(sim)) == 102
    assert messages(sim).count("late") == 2
    monkeypatch.undo()
    sim.append(Event("after", generation_time=3_000))
    assert len(messages(sim)) == 103


def test_states_of_sources_in_a_backup_are_those_of_its_head(
    sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.append(Event("first", generation_time=0))
    ended = threading.Event()

    def append() -> None:
        n = 1
        while not ended.is_set():
            sim.append(Event("m", generation_time=n))
            n += 1

    thread = threading.Thread(target=append)
    thread.start()
    try:
        from yamcs_archive.storage.backup.snapshot import take_facts  # noqa: PLC0415

        for _ in range(300):
            facts = take_facts(environment(sim), {})
            assert facts.events == facts.cursor.commit  # one event each
    finally:
        ended.set()
        thread.join()


def test_a_view_tells_whether_a_later_record_may_be_in_what_was_taken() -> None:
    tables = MemoryTables(NO_CHECKPOINT)
    event = Event("m", "S", generation_time=1, seq_number=1, reception_time=1)
    view = tables.view(NO_CHECKPOINT)
    assert view is not None
    assert view.is_newest
    tables.growing.add(logged(1, [event]))
    assert not view.is_newest


def test_while_full_tables_cannot_be_put_nothing_is_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded, also where the log has room and LMDB has none."""
    options = Options(maintenance=False, table_events_max=20, run_events_min=1_000)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        store: Any = sim._store
        tries = 0

        def act(name: str) -> None:
            nonlocal tries
            if name == "checkpoint-put":
                tries += 1
                raise lmdb.DiskError("No space left on device")

        monkeypatch.setattr(failpoints, "on_point", act)
        stored = refused = 0
        for n in range(120):
            if n in (30, 60):  # as the thread that maintains does
                with pytest.raises(OutOfSpaceError):
                    store._maintenance.look(n)
            try:
                sim.append(Event("m", generation_time=n))
                stored += 1
            except OutOfSpaceError:
                refused += 1
        assert stored <= 2 * options.table_events_max
        assert refused == 120 - stored
        assert tries <= 4  # and not with each append
        assert sim.count() == stored
        assert len(messages(sim)) == stored
        monkeypatch.undo()
        monkeypatch.setattr(checkpointer, "_TRY_AGAIN_S", 0.0)
        sim.append(Event("m", generation_time=1_000))
        assert len(messages(sim)) == stored + 1


def test_an_error_of_a_checkpoint_is_not_its_own_cause(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever walks along the causes of an error comes to an end."""

    def full(*_: object) -> None:
        raise OutOfSpaceError("file", "full")

    monkeypatch.setattr(checkpointer.Checkpointer, "is_full", True)
    monkeypatch.setattr(checkpointer.Checkpointer, "checkpoint_all", full)
    with pytest.raises(OutOfSpaceError) as raised:
        sim.append(Event("m"))
    assert raised.value.__cause__ is not raised.value
    monkeypatch.undo()


def test_a_medium_that_is_full_only_within_a_write_is_told_as_full(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a copy-on-write file system may be: the record that carries late events meets it."""
    for block in range(2):
        sim.append_many(Event("m", generation_time=1_000 * block + n) for n in range(50))
    sim.append(Event("late", source="L", generation_time=30))
    store: Any = sim._store
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 32 and any(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OutOfSpaceError):
            store._writer.checkpoint_all(10)
    assert messages(sim).count("late") == 1
    sim.append(Event("after", generation_time=3_000))
    assert sim.count() == len(messages(sim)) == 102


@pytest.mark.parametrize(("records", "full"), [(4, False), (5, True), (6, True)])
def test_a_table_of_many_records_is_full_however_few_events_they_have(
    records: int, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_table, "TABLE_RECORDS_MAX", 5)
    monkeypatch.setattr(views, "TABLE_RECORDS_MAX", 5)
    tables = MemoryTables(Checkpoint(10, 0))
    for number in range(11, 11 + records):
        tables.growing.add(LogRecord(number, ()))
    assert memory_table.is_full(tables.growing, 1_000) == full
    assert not tables.are_full(1_000)
    for number in range(11 + records, 20):
        tables.growing.add(LogRecord(number, ()))
    assert not tables.are_full(1_000)
    tables.growing.add(LogRecord(20, ()))
    assert tables.are_full(1_000)


def test_a_full_medium_without_an_acknowledged_end_may_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log.end").touch()
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    log, found = opened(tmp_path)
    assert found == []
    with pytest.raises(OutOfSpaceError):
        log.append(record(1))
    assert segment_numbers(tmp_path) == []  # nothing was written that readers could not be told of
    monkeypatch.setattr(os, "pwrite", real)
    assert log.append(record(1)) == 1
    end = read_end(tmp_path)
    assert end is not None
    assert end.sequence == 1
    log.close()


def test_segments_that_cannot_be_removed_are_no_part_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 3).close()

    def refused(_: str) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refused)
        log, found = opened(tmp_path, 3)
        assert (found, log.append(record(4))) == ([], 4)
        log.close()
    assert segment_numbers(tmp_path) == [1, 2]
    log, found = opened(tmp_path, 3)
    assert found == [4]
    log.close()
    assert segment_numbers(tmp_path) == [2]


def test_closing_during_a_checkpoint_ends_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, closing = threading.Event(), threading.Event()

    def act(name: str) -> None:
        if name == "checkpoint-begun":
            begun.set()
            closing.wait(10)

    with Archive.open(tmp_path / "a", options=Options(table_events_max=20)) as archive:
        sim = archive.instance("sim", create=True)
        monkeypatch.setattr(failpoints, "on_point", act)
        for n in range(20):
            sim.append(Event("m", generation_time=n))
        assert begun.wait(10)
        thread = threading.Thread(target=archive.close)
        thread.start()
        closing.set()
        thread.join(30)
        assert not thread.is_alive()
        monkeypatch.undo()
    for readonly in (True, False):
        with Archive.open(tmp_path / "a", readonly=readonly) as archive:
            assert archive.instance("sim").count() == 20
