"""Waiting for the next event: no event is missed, and a waiting caller cannot delay a commit."""

import gc
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.child import start
from tests.storage.by_hand import change_meta
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import BadCursorError, ClosedError, InvalidInputError, OtherHistoryError
from yamcs_archive.storage.format import messages as messages_of_chunk
from yamcs_archive.storage.read import changes

PATIENCE_S = 60


def messages(sim: Instance, after: str) -> list[str]:
    return [change.event.message for change in sim.changes(after=after)]


def test_a_wait_ends_after_the_commit(sim: Instance) -> None:
    cursor = sim.cursor()
    waiting = [sim.arrival(cursor) for _ in range(3)]
    assert not any(future.done() for future in waiting)
    sim.append(Event("first"))
    for future in waiting:
        assert future.result(timeout=PATIENCE_S) is None
    assert messages(sim, cursor) == ["first"]


def test_an_event_after_the_cursor_ends_the_wait_at_once(sim: Instance) -> None:
    cursor = sim.cursor()
    sim.append_many([Event("first"), Event("second")])
    assert sim.arrival(cursor).done()
    within = next(sim.changes()).cursor
    assert sim.arrival(within).done()
    assert not sim.arrival(sim.cursor()).done()


def test_a_retry_stores_nothing_and_so_tells_nobody(sim: Instance) -> None:
    stored = sim.append(Event("first")).event
    waiting = sim.arrival(sim.cursor())
    assert sim.append(stored).duplicate
    assert not waiting.done()
    sim.append(Event("second"))
    waiting.result(timeout=PATIENCE_S)


def test_a_follower_misses_nothing_while_many_append(sim: Instance) -> None:
    threads_count, each = 4, 50
    cursor = sim.cursor()

    def produce(source: str) -> None:
        for number in range(each):
            sim.append(Event(f"{source} {number}", source=source))

    threads = [threading.Thread(target=produce, args=(f"S{n}",)) for n in range(threads_count)]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    while len(seen) < threads_count * each:
        sim.arrival(cursor).result(timeout=PATIENCE_S)
        for change in sim.changes(after=cursor):
            seen.append(change.event.message)
            cursor = change.cursor
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"S{n} {number}" for n in range(threads_count) for number in range(each))
    assert messages(sim, cursor) == []


def test_a_timeout_and_a_close_end_the_wait(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        assert sim.arrival(sim.cursor(), timeout_s=0).result(timeout=PATIENCE_S) is None
        waiting = sim.arrival(sim.cursor())
    assert waiting.result(timeout=PATIENCE_S) is None
    with pytest.raises(ClosedError):
        sim.arrival("any")


def test_a_cancelled_wait_is_forgotten(sim: Instance) -> None:
    cursor = sim.cursor()
    given_up, waiting = sim.arrival(cursor), sim.arrival(cursor)
    assert given_up.cancel()
    kept = weakref.ref(given_up)
    del given_up
    while kept() is not None:  # the thread may be looking at it just now
        gc.collect()
    assert not waiting.done()
    sim.append(Event("first"))
    waiting.result(timeout=PATIENCE_S)


@pytest.mark.parametrize("fault", [ValueError("a callback"), SystemExit(1), KeyboardInterrupt()])
def test_an_error_of_a_callback_does_not_end_other_waits(sim: Instance, fault: BaseException) -> None:
    def fail(_: Future[None]) -> None:
        raise fault

    cursor = sim.cursor()
    first, second = sim.arrival(cursor), sim.arrival(cursor)
    first.add_done_callback(fail)
    sim.append(Event("first"))
    second.result(timeout=PATIENCE_S)
    third = sim.arrival(sim.cursor())
    sim.append(Event("second"))
    third.result(timeout=PATIENCE_S)


def test_a_callback_that_never_ends_holds_up_no_commit(sim: Instance) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def block(_: Future[None]) -> None:
        entered.set()
        go_on.wait()

    try:
        sim.arrival(sim.cursor()).add_done_callback(block)
        sim.append(Event("first"))
        assert entered.wait(PATIENCE_S)
        assert [sim.append(Event(text)).event.message for text in ("second", "third")] == ["second", "third"]
    finally:
        go_on.set()


def test_a_callback_may_append(sim: Instance) -> None:
    cursor = sim.cursor()
    waiting = sim.arrival(cursor)
    waiting.add_done_callback(lambda _: sim.append(Event("answer")))
    sim.append(Event("question"))
    seen = list(sim.changes(after=cursor))
    while seen[-1].event.message != "answer":
        sim.arrival(seen[-1].cursor).result(timeout=PATIENCE_S)
        seen = list(sim.changes(after=cursor))
    assert [change.event.message for change in seen] == ["question", "answer"]


def test_cursors_are_refused_as_changes_refuses_them(archive: Archive, sim: Instance) -> None:
    sim.append(Event("first"))
    other = archive.instance("other", create=True)
    with pytest.raises(OtherHistoryError):
        sim.arrival(other.cursor())
    with pytest.raises(BadCursorError):
        sim.arrival("made up")
    for timeout_s in (-1, float("nan"), float("inf")):
        with pytest.raises(InvalidInputError, match="timeout_s"):
            sim.arrival(sim.cursor(), timeout_s=timeout_s)


def test_a_reading_process_notices_events_of_another_process(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("before"))
        reader = start(
            """
            sim = Archive.open(sys.argv[1], readonly=True).instance("sim")
            cursor = sim.cursor()
            waiting = sim.arrival(cursor)
            print("waiting", flush=True)
            read = 0
            while read < 2:  # both may come in one turn, if this process is slow
                waiting.result(timeout=60)
                for change in sim.changes(after=cursor):
                    print(change.event.message, flush=True)
                    cursor = change.cursor
                    read += 1
                waiting = sim.arrival(cursor)
            """,
            tmp_path / "a",
        )
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "waiting\n"
            sim.append(Event("first"))
            assert reader.stdout.readline() == "first\n"
            sim.compact()  # the wait continues in the new generation
            sim.append(Event("second"))
            assert reader.stdout.readline() == "second\n"
        finally:
            _, complaints = reader.communicate(timeout=60)
        assert reader.returncode == 0, complaints


def messages_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that from now on gets the number of messages each time that a chunk of them is read."""
    read: list[int] = []
    unpack = messages_of_chunk.unpack_chunk

    def counting(chunk: bytes) -> list[str]:
        found = unpack(chunk)
        read.append(len(found))
        return found

    monkeypatch.setattr(messages_of_chunk, "unpack_chunk", counting)
    return read


def test_large_events_of_a_packed_record_are_read_once_however_many_they_are(
    small: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 200
    for number in range(count):
        small.append(Event(f"{number:04}" * 100, generation_time=number, seq_number=number))
    small.settle()
    monkeypatch.setattr(changes, "READ_BYTES_MAX", 1_000)  # so that one read has two events
    read = messages_read(monkeypatch)
    found = [change.event.seq_number for change in small.changes()]
    assert found == list(range(count))
    assert sum(read) < 8 * count  # a block is read only by reads that need events of it


def test_small_events_of_a_packed_record_are_read_together(
    small: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 60
    for number in range(count):  # events of neighbouring commits are in different blocks
        small.append(Event("m", generation_time=number * 17 % count, seq_number=number))
    small.settle()
    read = messages_read(monkeypatch)
    assert [change.event.seq_number for change in small.changes()] == list(range(count))
    assert sum(read) == count


def test_the_first_event_of_a_large_commit_comes_before_all_others_are_read(
    small: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.append_many(Event("m", generation_time=time) for time in range(200))
    read = messages_read(monkeypatch)
    assert next(small.changes()).event.generation_time == 0
    assert sum(read) < 100


def test_new_events_are_noticed_without_reading_them(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record may have 8,192 events, and the caller reads them again."""
    cursor = sim.cursor()
    sim.append_many(Event(f"m{n}") for n in range(3))
    within = [change.cursor for change in sim.changes(cursor)]

    def read(*_: object) -> None:
        raise AssertionError("events were read")

    monkeypatch.setattr(changes, "changes", read)
    for earlier in (cursor, *within[:-1]):
        assert sim.arrival(earlier).done()
    assert not sim.arrival(within[-1]).done()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("horizon", [0, 5, 25, 100])
def test_after_pruning_only_events_that_are_left_count_as_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, horizon: int
) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        for commit in range(4):
            sim.append_many(Event("m", generation_time=10 * commit + n) for n in range(3))
        if packed:
            sim.settle()
        cursors = [sim.cursor(), *(change.cursor for change in sim.changes())]
    change_meta(tmp_path / "a" / "sim", horizon=horizon, horizon_commit=0)
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        left = [next(sim.changes(cursor), None) is not None for cursor in cursors]
        assert [sim.arrival(cursor).done() for cursor in cursors] == left
    assert sum(left) == (0 if horizon == 100 else 11)


def test_the_rest_of_the_newest_commit_is_found_at_once_in_a_packed_record(
    small: Instance,
) -> None:
    small.append(Event("alone"))
    small.append_many(Event(f"m{n}") for n in range(3))
    small.settle()
    told = [small.arrival(change.cursor).done() for change in small.changes()]
    assert told == [True, True, True, False]


@pytest.mark.parametrize("large", [1, 2, 3, 4])
def test_commits_of_a_packed_record_come_whole_where_one_alone_is_more_than_a_look_takes(
    small: Instance, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    for commit in range(8):  # times go down, so that the first key is of the last commit
        small.append_many(
            Event("x" * 400, generation_time=n - 10 * commit) for n in range(large if commit % 3 == 1 else 1)
        )
    arrived = list(small.changes())
    small.settle()
    monkeypatch.setattr(changes, "READ_BYTES_MAX", 1_000)
    assert list(small.changes()) == arrived
