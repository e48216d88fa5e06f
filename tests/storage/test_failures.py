"""Failures of the writer: a full map, a full disk, a failed commit, a damaged record, rival callers."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.child import run
from tests.sizes import around
from tests.storage.by_hand import change_meta
from yamcs_archive import Archive, ConflictError, Event, EventKey, Instance, Options
from yamcs_archive.errors import (
    BadCursorError,
    DamagedError,
    InvalidInputError,
    NumbersExhaustedError,
    OtherHistoryError,
    OutcomeUnknownError,
)
from yamcs_archive.event import as_stored
from yamcs_archive.limits import SEQ_NUMBER_MAX
from yamcs_archive.results import Conflict
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk.log_files import SegmentFile
from yamcs_archive.storage.failpoints import GROUP_COMMIT_POINTS
from yamcs_archive.storage.format.commits import decode_cursor, encode_cursor


def numbered(count: int, **fields: Any) -> list[Event]:
    return [Event(f"m{n}", generation_time=n, seq_number=n, **fields) for n in range(count)]


def test_a_full_map_grows_and_nothing_is_lost(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(map_bytes=1 << 18)) as archive:
        sim = archive.instance("sim", create=True)
        reader = sim.events()
        assert (
            sim.append_many(Event(os.urandom(500).hex(), generation_time=n) for n in range(3000)).stored
            == 3000
        )
        assert sum(1 for _ in reader) == sum(1 for _ in sim.events()) == 3000


def test_a_map_that_another_process_grew_is_adopted(tmp_path: Path) -> None:
    options = Options(map_bytes=1 << 18)
    with Archive.open(tmp_path / "a", options=options) as archive:
        archive.instance("sim", create=True).append(Event("first"))
    with Archive.open(tmp_path / "a", readonly=True, options=options) as reading:
        sim = reading.instance("sim")
        assert len(list(sim.events())) == 1
        run(
            """
            import os
            sim = Archive.open(sys.argv[1], options=Options(map_bytes=1 << 18)).instance("sim")
            sim.append_many(Event(os.urandom(500).hex()) for n in range(3000))
            """,
            tmp_path / "a",
        )
        assert len(list(sim.events())) == 3001


def test_a_full_disk_stores_nothing_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    printed = run(
        """
        import os, resource
        sim = Archive.open(sys.argv[1]).instance("sim", create=True)
        sim.append_many(Event("x" * 100) for _ in range(100))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))
        try:
            sim.append_many(Event(os.urandom(500).hex()) for _ in range(2000))
        except OutOfSpaceError as error:
            print("full", error.position, error.counts.stored, sum(1 for _ in sim.events()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(sim.append(Event("z")).event.seq_number, sim.stats().events)
        """,
        tmp_path / "a",
    )
    assert printed.splitlines() == ["full 0 0 100", "100 101"]


class _FailsOnce:
    """Makes one write to the log fail, before or after it is made."""

    def __init__(self, patch: pytest.MonkeyPatch, *, after: bool, armed: bool = True) -> None:
        self.armed = armed
        real = SegmentFile.write

        def write(file: SegmentFile, data: bytes, offset: int) -> None:
            if not self.armed:
                real(file, data, offset)
                return
            self.armed = False
            if after:
                real(file, data, offset)
            raise OSError(errno.EIO, "Input/output error")

        patch.setattr(SegmentFile, "write", write)


@pytest.mark.parametrize("after", [False, True])
def test_a_failed_commit_has_an_unknown_outcome_and_the_advised_retry_is_safe(
    sim: Instance, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.append(Event("before"))
    _FailsOnce(monkeypatch, after=after)
    with pytest.raises(OutcomeUnknownError) as caught:
        sim.append(Event("lost?", source="AOCS"))
    [event] = caught.value.events
    assert (event.source, event.seq_number) == ("AOCS", 0)
    assert event.generation_time is not None
    assert event.reception_time is not None
    done = sim.append(event)
    assert done.duplicate == after
    assert done.event == event
    assert sim.append(Event("next", source="AOCS")).event.seq_number == 1
    assert [change.event.message for change in sim.changes()] == ["before", "lost?", "next"]


def test_each_of_several_callers_gets_its_own_events_of_an_unknown_outcome(sim: Instance) -> None:
    held = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        medium = _FailsOnce(patch, after=False, armed=False)
        patch.setattr(
            "yamcs_archive.storage.failpoints.on_point",
            lambda point: point == "group-taken" and held.wait(10),
        )
        first = sim.submit(Event("first"))
        others = [sim.submit(Event(f"other {n}", source=f"S{n}")) for n in range(3)]
        medium.armed = True
        held.set()
        with pytest.raises(OutcomeUnknownError):
            first.result(10)
        medium.armed = True
        messages = []
        for other in others:
            try:
                messages.append(other.result(10).event.message)
            except OutcomeUnknownError as error:
                messages += [event.message for event in error.events]
    assert messages == ["other 0", "other 1", "other 2"]


@pytest.mark.damaging
def test_a_damaged_record_is_named_and_does_not_stop_the_others(archive: Archive) -> None:
    sim = archive.instance("sim", create=True)
    sim.append_many(numbered(3))
    sim.settle()
    environment = sim._store._environment  # type: ignore[attr-defined]  # as above
    with environment.lmdb.begin(write=True, db=environment.databases["blocks"]) as transaction:
        cursor = transaction.cursor()
        cursor.first()
        cursor.put(cursor.key(), cursor.value()[:-1] + b"?")
    for reading in (
        lambda: list(sim.events()),
        lambda: sim.get(EventKey(0, "User", 0)),
        lambda: list(sim.changes()),
    ):
        with pytest.raises(DamagedError, match="blocks"):
            reading()
    held = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "yamcs_archive.storage.failpoints.on_point",
            lambda point: point == "group-taken" and held.wait(10),
        )
        futures = [sim.submit(event) for event in (*numbered(3), Event("new", source="AOCS"))]
        held.set()
        for future in futures[:3]:
            with pytest.raises(DamagedError):
                future.result(10)
        assert not futures[3].result(10).duplicate


def test_many_threads_on_few_keys_store_each_key_once_and_refuse_the_rest(sim: Instance) -> None:
    def offer(worker: int) -> tuple[int, int, int]:
        stored = duplicates = conflicts = 0
        for n in range(40):
            event = Event("same" if n % 2 else f"by {worker}", source="S", generation_time=n, seq_number=n)
            try:
                done = sim.append(event)
            except ConflictError as error:
                conflicts += 1
                assert error.stored.key == event.key
            else:
                duplicates += done.duplicate
                stored += not done.duplicate
        return stored, duplicates, conflicts

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(offer, range(8)))
    assert tuple(map(sum, zip(*results, strict=True))) == (40, 20 * 7, 20 * 7)
    assert [event.seq_number for event in sim.events()] == list(range(40))


def test_automatic_numbers_of_many_threads_have_no_gap_and_no_double(sim: Instance) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: sim.append(Event("a", source=f"S{n % 3}")).event, range(150)))
    for source in ("S0", "S1", "S2"):
        assert sorted(event.key.seq_number for event in numbers if event.source == source) == list(range(50))


def test_the_top_of_int32_is_a_clear_error_and_explicit_numbers_go_on(sim: Instance) -> None:
    sim.append(Event("below", source="S", seq_number=SEQ_NUMBER_MAX - 1))
    assert sim.append(Event("top", source="S")).event.seq_number == SEQ_NUMBER_MAX
    with pytest.raises(NumbersExhaustedError, match="number the events of this source yourself"):
        sim.append(Event("beyond", source="S"))
    assert sim.append(Event("own", source="S", seq_number=5)).event.seq_number == 5
    with pytest.raises(NumbersExhaustedError) as caught:
        sim.append_many([Event("a", source="T"), Event("beyond", source="S")])
    assert (caught.value.position, caught.value.counts.stored) == (1, 1)
    assert sim.append(Event("b", source="T")).event.seq_number == 1


def test_the_events_before_an_invalid_one_are_stored_and_its_position_is_named(sim: Instance) -> None:
    events = [*numbered(10_005), Event("bad", source="A\0B"), Event("after")]
    with pytest.raises(InvalidInputError, match="NUL") as caught:
        sim.append_many(iter(events))
    assert caught.value.position == 10_005
    assert caught.value.counts.stored == 10_005 == sim.stats().events


def test_the_events_before_the_error_of_an_iterable_are_stored(sim: Instance) -> None:
    def failing() -> Any:
        yield from numbered(70)
        raise RuntimeError("the link broke")

    with pytest.raises(RuntimeError, match="the link broke"):
        sim.append_many(failing())
    assert sim.stats().events == 70


def test_conflicts_are_counted_and_the_first_thousand_shown_by_position(sim: Instance) -> None:
    sim.append_many(numbered(1500))
    counts = sim.append_many(reversed([Event("other", generation_time=n, seq_number=n) for n in range(1500)]))
    assert (counts.stored, counts.conflict_count) == (0, 1500)
    assert [conflict.position for conflict in counts.conflicts] == list(range(1000))
    assert counts.conflicts[0].offered.generation_time == 1499
    assert counts.conflicts[0].stored.message == "m1499"


def test_the_counts_of_refused_events_survive_a_close(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(3))
        sim.append_many(numbered(3))
        with pytest.raises(ConflictError):
            sim.append(Event("other", generation_time=0, seq_number=0))
    with Archive.open(tmp_path / "a") as archive:
        stats = archive.instance("sim").stats()
        assert (stats.events, stats.duplicates, stats.conflicts, stats.expired) == (3, 3, 1, 0)


def test_cursors_of_another_archive_and_beyond_the_head_are_refused(archive: Archive) -> None:
    sim, other = (archive.instance(name, create=True) for name in ("sim", "other"))
    sim.append_many(numbered(3))
    with pytest.raises(OtherHistoryError):
        sim.changes(after=other.cursor())
    with pytest.raises(BadCursorError, match="not a cursor"):
        sim.changes(after="nonsense")
    head = decode_cursor(sim.cursor())
    with pytest.raises(OtherHistoryError, match=f"since commit {head.commit + 1} or before"):
        sim.changes(after=encode_cursor(head._replace(commit=head.commit + 1)))
    with pytest.raises(BadCursorError, match="beyond"):
        sim.changes(after=encode_cursor(head._replace(position=head.position + 1)))


@pytest.mark.parametrize("point", [point for point in GROUP_COMMIT_POINTS if point != "log-segment-made"])
def test_ctrl_c_at_any_point_of_an_append_leaves_the_store_whole_and_usable(
    sim: Instance, point: str
) -> None:
    sim.append(Event("before"))

    def interrupt(reached: str) -> None:
        if reached == point:
            failpoints.on_point = None
            raise KeyboardInterrupt

    failpoints.on_point = interrupt
    try:
        with pytest.raises(KeyboardInterrupt):
            sim.append(Event("interrupted", seq_number=7))
    finally:
        failpoints.on_point = None
    done = sim.append(Event("after"))
    found = [event.message for event in sim.events()]
    assert found in (["before", "after"], ["before", "interrupted", "after"])
    assert done.event.seq_number == (8 if "interrupted" in found else 1)
    assert [change.event.message for change in sim.changes()] == found
    assert sim.stats().events == len(found)


def test_lone_callers_and_crowds_take_turns_and_lose_nothing(sim: Instance) -> None:
    def work(worker: int) -> None:
        for n in range(60):
            if n % 7 == worker % 7:
                assert (
                    sim.append_many(Event(f"{worker}/{n}/{m}", source=f"S{worker}") for m in range(3)).stored
                    == 3
                )
            elif n % 3:
                sim.append(Event(f"{worker}/{n}", source=f"S{worker}"))
            else:
                sim.submit(Event(f"{worker}/{n}", source=f"S{worker}")).result(30)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    for source, state in sim.stats().sources.items():
        numbers = [event.key.seq_number for event in sim.events(sources=[source])]
        assert sorted(numbers) == list(range(state.events))
    assert len({event.message for event in sim.events()}) == sim.stats().events


@pytest.mark.parametrize("refused", [False, True])
def test_each_caller_of_a_group_gets_the_outcome_of_its_own_events(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    stored = [Event(f"m{n}", generation_time=n, seq_number=n, reception_time=n) for n in range(3)]
    sim.append_many(stored)
    begun, held = threading.Event(), threading.Event()

    def wait(point: str) -> None:
        if point == "group-taken" and not begun.is_set():
            begun.set()
            held.wait(10)

    monkeypatch.setattr(failpoints, "on_point", wait)
    sim.submit(Event("blocker"))
    assert begun.wait(10)
    alone = sim.submit(stored[0])
    release = threading.Timer(0.2, held.set)
    release.start()  # after the batch, which waits, has joined the group
    other = replace(stored[1], message="other")
    counts = sim.append_many([Event("new"), *([stored[2], other] if refused else []), Event("newer")])
    release.join()
    assert alone.result(10).duplicate
    assert (counts.stored, counts.duplicates) == (2, 1 if refused else 0)
    assert counts.conflicts == ((Conflict(2, as_stored(stored[1]), other),) if refused else ())


def test_refused_events_of_a_group_are_counted_whichever_of_its_callers_sent_them(sim: Instance) -> None:
    stored = sim.append(Event("stored", source="S")).event
    held = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "on_point", lambda point: point == "group-taken" and held.wait(10))
        futures = [sim.submit(event) for event in (Event("blocker"), Event("new"), stored)]
        held.set()
        assert [future.result(10).duplicate for future in futures] == [False, False, True]
    assert {name: source.duplicates for name, source in sim.stats().sources.items()} == {"S": 1, "User": 0}


def test_numbers_are_counted_on_from_the_greatest_of_a_batch_wherever_it_is(sim: Instance) -> None:
    given = [Event("m", generation_time=n, seq_number=number) for n, number in enumerate((10, 5))]
    sim.append_many([*given, Event("next", generation_time=2)])
    assert [event.seq_number for event in sim.events()] == [10, 5, 11]


def test_the_number_of_an_expired_event_is_not_counted_on_from(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True)
    change_meta(tmp_path / "a" / "sim", horizon=10, horizon_commit=0)
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        for time, number in ((9, 0), (10, 8), (11, 8)):
            first = Event("numbered", source=f"S{time}", generation_time=time, seq_number=7)
            sim.append_many([first, Event("next", source=f"S{time}", generation_time=20)])
            assert [event.seq_number for event in sim.events(sources=[f"S{time}"])][-1] == number


ORDERED_FROM = around(["storage.write.outcomes._VECTOR_EVENTS_MIN"])


@pytest.mark.parametrize("size", [3, *ORDERED_FROM])
def test_a_batch_that_begins_with_its_first_event_need_not_be_in_order(sim: Instance, size: int) -> None:
    events = numbered(size)
    mixed = [events[0], *reversed(events[1:])]
    assert sim.append_many(mixed).stored == size
    assert [event.seq_number for event in sim.events()] == list(range(size))


@pytest.mark.parametrize("size", [3, *ORDERED_FROM])
def test_an_event_twice_at_the_end_of_a_batch_in_order_is_stored_once(sim: Instance, size: int) -> None:
    events = numbered(size - 1)
    counts = sim.append_many([*events, events[-1]])
    assert (counts.stored, counts.duplicates) == (size - 1, 1)
    assert len(list(sim.events())) == size - 1


def test_an_event_before_the_horizon_is_not_given_and_one_at_it_is(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        stored = [sim.append(Event("m", generation_time=time)).event for time in (9, 10, 11)]
    change_meta(tmp_path / "a" / "sim", horizon=10, horizon_commit=0)
    with Archive.open(tmp_path / "a") as archive:
        found = [archive.instance("sim").get(event.key) for event in stored]
        assert found == [None, *stored[1:]]
