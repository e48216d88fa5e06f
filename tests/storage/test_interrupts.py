"""Ctrl-C and other exceptions at any moment leave no lock taken and no caller waiting."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.child import run_in_fork
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.archive.base import archives_in_use
from yamcs_archive.errors import (
    ArchiveError,
    LockedError,
    UnavailableError,
)
from yamcs_archive.storage.disk import environment
from yamcs_archive.storage.disk.reader_gate import Gate, Reader
from yamcs_archive.storage.interrupts import Bell, Hold, SafeFuture, Signal, uninterrupted
from yamcs_archive.storage.write import committer, writer_state
from yamcs_archive.storage.write.writer import Writer

FUNCTIONS = (
    "append",
    "append_many",
    "submit",
    "take_over",
    "events",
    "filtered",
    "get",
    "sources",
    "stats",
    "changes",
    "commits",
    "histogram",
    "cursor",
    "arrival",
    "arrived",
    "settle",
    "compact",
    "instances",
    "open",
    "read_only",
)
"""The names of the functions of :mod:`interrupting`."""

WAIT_S = 30

_INTERRUPT = """
    from tests.storage.interrupting import main
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "kept")
"""


def test_all_that_can_be_interrupted_is_listed(tmp_path: Path, archive: Archive, sim: Instance) -> None:
    from tests.storage.interrupting import functions  # noqa: PLC0415

    assert tuple(functions(tmp_path, archive, sim)) == FUNCTIONS


@pytest.mark.parametrize("function", FUNCTIONS)
def test_interrupts_leave_an_archive_that_appends_compacts_and_closes(function: str) -> None:
    assert run_in_fork(_INTERRUPT, function, 60, "kept") == "60\n"


@pytest.mark.long
@pytest.mark.parametrize("interrupts", ["dropped", "kept"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_thousand_interrupts_leave_an_archive_that_appends_compacts_and_closes(
    function: str, interrupts: str
) -> None:
    # Single appends take a minute.
    assert run_in_fork(_INTERRUPT, function, 1000, interrupts, within_s=240) == "1000\n"


def ends(act: Callable[[], object]) -> None:
    """Check that an action ends, in another thread."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def interrupted(act: Callable[[], object]) -> KeyboardInterrupt:
    with pytest.raises(KeyboardInterrupt) as caught:
        act()
    return caught.value


def test_a_reader_whose_traceback_is_kept_no_longer_counts_as_reading() -> None:
    gate = Gate()

    def read() -> None:
        gate.enter(Reader(sys._getframe()))
        raise KeyboardInterrupt  # before it leaves

    kept = interrupted(read)

    def shut() -> None:
        with gate.exclusive():
            pass

    ends(shut)
    assert kept.__traceback__ is not None


def test_an_interrupt_while_a_read_begins_is_raised_as_it_is(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    def read() -> None:
        with environment.LazyRead(sim._store._environment) as lazy:  # type: ignore[attr-defined]  # as a commit does
            assert lazy.transaction is None

    with monkeypatch.context() as patch:
        patch.setattr(environment, "Reader", stop)
        interrupted(read)
    sim.append(Event("m"))
    assert sim.count() == 1


def test_abandoned_readers_are_forgotten_while_others_read() -> None:
    gate = Gate()
    kept = []

    def read() -> None:
        gate.enter(Reader(sys._getframe()))
        raise KeyboardInterrupt

    for _ in range(200):
        kept.append(interrupted(read))
        assert len(gate._readers) <= 64


def test_a_gate_whose_holder_was_interrupted_opens_again() -> None:
    gate = Gate()

    def shut() -> None:
        assert gate._shut_by(Hold())
        raise KeyboardInterrupt

    kept = interrupted(shut)
    reader = Reader(sys._getframe())
    ends(lambda: gate.enter(reader))
    gate.leave(reader)
    with gate.exclusive():
        pass
    assert kept.__traceback__ is not None


def test_closing_a_gate_waits_for_readers_and_readers_wait_for_its_opening() -> None:
    gate, order = Gate(), list[str]()
    inside, shut = threading.Event(), threading.Event()

    def read() -> None:
        reader = Reader(sys._getframe())
        gate.enter(reader)
        inside.set()
        while gate._shut is None:
            time.sleep(0.001)
        order.append("read")
        gate.leave(reader)

    def read_later() -> None:
        reader = Reader(sys._getframe())
        shut.wait(WAIT_S)
        gate.enter(reader)
        order.append("read later")

    threads = [threading.Thread(target=target) for target in (read, read_later)]
    for thread in threads:
        thread.start()
    inside.wait(WAIT_S)
    with gate.exclusive():
        shut.set()
        time.sleep(0.01)
        order.append("exclusive")
    for thread in threads:
        thread.join(WAIT_S)
    assert order == ["read", "exclusive", "read later"]


def test_a_turn_is_released_though_its_traceback_is_kept(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    kept = []
    with monkeypatch.context() as patch:
        patch.setattr(Hold, "end", stop)  # another one, before the turn is given back
        patch.setattr(committer.Committer, "commit", stop)
        kept.append(interrupted(lambda: sim.append(Event("x"))))
    ends(lambda: sim.append(Event("y")))
    ends(sim.compact)
    assert [event.message for event in sim.events()] == ["y"]


def test_after_an_interrupt_within_a_commit_the_store_is_read_anew(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The interrupt comes after the commit is durable, and before the state in memory is updated; a second one
    # comes while that state is being marked as unknown.
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writer_state.WriterState, "note", stop)
        patch.setattr(Writer, "_invalidate", stop)
        interrupted(lambda: sim.append(Event("first", source="S")))
    assert sim.append(Event("second", source="S")).event.seq_number == 1
    assert [(change.event.message, change.event.seq_number) for change in sim.changes()] == [
        ("first", 0),
        ("second", 1),
    ]


@pytest.mark.parametrize("wait", [SafeFuture.result, SafeFuture.exception])
def test_a_future_s_wait_holds_no_lock(wait: Callable[[SafeFuture[int]], object]) -> None:
    future = SafeFuture[int]()
    waiting = threading.Thread(target=wait, args=(future,), daemon=True)
    waiting.start()
    with suppress(TimeoutError):
        wait_for = SafeFuture.result if wait is SafeFuture.result else SafeFuture.exception
        wait_for(future, 0.01)
    assert not future.done()
    future.set_result(1)
    waiting.join(WAIT_S)
    assert future.result(0) == 1


def test_concurrent_futures_can_wait_for_a_future() -> None:
    future, other = SafeFuture[int](), SafeFuture[int]()
    assert futures.wait([future, other], 0.01).done == set()
    with pytest.raises(TimeoutError):
        future.result(0)
    threading.Timer(0.01, lambda: future.set_result(1)).start()
    assert futures.wait([future, other], WAIT_S, futures.FIRST_COMPLETED).done == {future}
    threading.Timer(0.01, lambda: other.set_exception(ZeroDivisionError())).start()
    assert set(futures.as_completed([future, other], WAIT_S)) == {future, other}
    assert isinstance(other.exception(), ZeroDivisionError)


def test_a_signal_given_before_the_wait_is_not_lost() -> None:
    signal = Signal()
    signal.tell()
    signal.tell()
    signal.wait()
    signal.wait(0.001)  # told twice before, it wakes once


def test_a_bell_that_never_rings_is_a_delay() -> None:
    bell, ready = Bell(), list[int]()
    threading.Timer(0.01, lambda: ready.append(1)).start()
    bell.wait_until(lambda: bool(ready))


def test_an_uninterrupted_call_gives_its_result_or_its_error_with_the_traceback() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    assert uninterrupted(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError) as caught:
        uninterrupted(fail)
    assert "fail" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_a_close_that_was_interrupted_goes_on_and_an_opening_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive.open(tmp_path / "a")
    archive.instance("sim", create=True).append(Event("x"))
    go_on = threading.Event()
    close = Archive._close

    def slow(self: Archive) -> None:
        go_on.wait(WAIT_S)
        close(self)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "_close", slow)
        patch.setattr(Signal, "wait", lambda *_: _raise(KeyboardInterrupt()))
        interrupted(archive.close)
    threading.Timer(0.05, go_on.set).start()
    with Archive.open(tmp_path / "a") as again:
        assert [event.message for event in again.instance("sim").events()] == ["x"]
    assert archive.closed


def _raise(error: BaseException) -> None:
    raise error


def test_an_instance_that_cannot_be_closed_keeps_no_other_open_and_may_be_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive.open(tmp_path / "a")
    bad, good = archive.instance("bad", create=True), archive.instance("good", create=True)
    with monkeypatch.context() as patch:
        patch.setattr(bad._store, "close", lambda: _raise(OSError("no")))
        with pytest.raises(OSError, match="no"):
            archive.close()
    assert not archive.closed
    with pytest.raises(LockedError):
        Archive.open(tmp_path / "a")
    with pytest.raises(ArchiveError):
        good.append(Event("x"))
    archive.close()
    Archive.open(tmp_path / "a").close()


def test_an_archive_that_nobody_got_is_not_locked(tmp_path: Path) -> None:
    Archive.open(tmp_path / "a")  # as when an interrupt comes before it can be assigned
    Archive.open(tmp_path / "a").close()


def test_an_archive_in_use_stays_open_without_a_name(tmp_path: Path) -> None:
    sim = Archive.open(tmp_path / "a").instance("sim", create=True)
    sim.append(Event("x"))
    with pytest.raises(LockedError):
        Archive.open(tmp_path / "a")
    for archive in [one for one in archives_in_use if one.path == tmp_path / "a"]:
        archive.close()


def test_a_step_runs_in_the_caller_s_thread_if_no_thread_can_be_started(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("_thread.start_new_thread", refuse)
        assert uninterrupted(threading.get_ident) == threading.get_ident()
        with pytest.raises(UnavailableError, match="limit of threads"):
            sim.arrival(sim.cursor())
    future = sim.arrival(sim.cursor())
    sim.append(Event("x"))
    future.result(WAIT_S)
    monkeypatch.setattr("_thread.start_new_thread", refuse)
    archive.close()
    assert archive.closed


@contextmanager
def held_up(sim: Instance) -> Iterator[Callable[[], None]]:
    """Stop the writer's thread before it takes an event; return a function that lets it continue."""
    writer = sim._store._writer  # type: ignore[attr-defined]
    mine = Hold(sys._getframe())
    frame_held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        hold_ = Hold()
        while not writer._has_turn(hold_):
            time.sleep(0.001)
        frame_held.set()
        release.wait(WAIT_S)
        hold_.end()

    thread = threading.Thread(target=hold)
    thread.start()
    assert frame_held.wait(WAIT_S)
    try:
        yield release.set
    finally:
        release.set()
        thread.join()
        mine.end()
