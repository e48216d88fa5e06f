"""Pruning takes what is before the horizon and nothing else, whatever happens meanwhile."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.child import run, run_in_fork, stopping
from tests.conftest import check_sound
from tests.storage.test_checkpoints import SMALL, entries
from yamcs_archive import Archive, Event, EventKey, Instance, Options, Severity
from yamcs_archive.errors import (
    BadTimeError,
    ClosedError,
    CursorGoneError,
    ExpiredError,
    InvalidInputError,
    OutOfSpaceError,
    ReadOnlyError,
)
from yamcs_archive.limits import DAY_US, ODD_AFTER_US, ODD_BEFORE_US, PRUNE_EVERY_US, TIME_MIN_US, YEAR_US
from yamcs_archive.results import MirrorState, OddTimes
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.failpoints import PRUNE_POINTS
from yamcs_archive.storage.format.commits import commit_key
from yamcs_archive.storage.format.keys import time_bound
from yamcs_archive.storage.maintain import arrival_check, pruning
from yamcs_archive.storage.maintain import groups as group_closing
from yamcs_archive.storage.maintain.retention import Survey
from yamcs_archive.storage.write import checkpoint
from yamcs_archive.storage.write.transaction import WriteTransaction

NOW = 1_800_000_000_000_000
"""The archive's clock in most of these tests: a time in 2027."""


def options(**given: Any) -> Options:
    facts: dict[str, Any] = {
        "block_events_max": 16,
        "run_events_min": 8,
        "read_events_max": 16,
        "maintenance": False,
        "clock": lambda: NOW,
    }
    return Options(**(facts | given))


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=options()) as archive:
        yield archive.instance("sim", create=True)
        check_sound(archive)


def numbered(count: int, *, sources: int = 1, first: int = 0, step: int = 10) -> list[Event]:
    """Return events of several sources in turn."""
    return [
        Event(f"m{n}", source=f"S{n % sources}", generation_time=first + n * step, seq_number=n)
        for n in range(count)
    ]


def times(sim: Instance) -> list[int]:
    return [event.key.generation_time for event in sim.events()]


def check(sim: Instance, left: Sequence[Event]) -> None:
    """Check that an instance has these events, by every way of reading."""
    keys = sorted(event.key for event in left)
    assert [event.key for event in sim.events()] == keys
    assert [event.key for event in sim.events(descending=True)] == keys[::-1]
    assert sorted(change.event.key for change in sim.changes()) == keys
    assert sim.count() == sim.stats().events == len(keys)
    assert sum(stretch.events for stretch in sim.histogram()) == len(keys)
    states = sim.stats().sources
    for source in states:
        own = sum(key.source == source for key in keys)
        assert states[source].events == own
        if len(states) < 10:
            assert sim.count(sources=[source]) == own
    found = sim.verify()
    assert found is not None
    assert (found.events, found.faults) == (len(keys), ())


@pytest.mark.parametrize("sources", [1, 2, 300])
@pytest.mark.parametrize("settled", [True, False])
def test_what_is_before_the_horizon_goes_and_the_rest_stays(
    sim: Instance, sources: int, settled: bool
) -> None:
    events = numbered(600, sources=sources)
    sim.append_many(events)
    late = [Event("late", source="L", generation_time=at, seq_number=at) for at in (15, 2_995, 3_005)]
    for event in late:
        sim.append(event)
    if settled:
        sim.settle()
    done = sim.prune(before=3_000)
    assert (done.horizon, done.events, done.damaged) == (3_000, 302, 0)
    assert done.size_bytes > 0
    check(sim, [*events[300:], late[-1]])
    assert sim.get(events[299].key) is None
    assert sim.get(events[300].key) is not None
    sim.compact()
    check(sim, [*events[300:], late[-1]])
    assert sim.sources() == sorted({event.source for event in [*events, *late]})


@pytest.mark.parametrize("move", [-1, 0, 1])
@pytest.mark.parametrize("at", [0, 15, 16, 31, 32, 47, 99])
def test_a_horizon_at_the_bounds_of_a_block_cuts_exactly(sim: Instance, at: int, move: int) -> None:
    events = numbered(100)
    sim.append_many(events)
    sim.settle()
    horizon = at * 10 + move
    assert sim.prune(before=horizon).events == len(
        [one for one in events if (one.generation_time or 0) < horizon]
    )
    check(sim, [one for one in events if (one.generation_time or 0) >= horizon])
    # Nothing before the horizon is stored any longer, in whatever form.
    with sim._store._environment.read() as transaction:  # type: ignore[attr-defined]  # what is left in the file
        for name in ("blocks", "rows"):
            database = sim._store._environment.databases[name]  # type: ignore[attr-defined]  # likewise
            cursor = transaction.cursor(database)
            assert not cursor.first() or cursor.key() >= time_bound(horizon)


@pytest.mark.parametrize("count", [2, 3, 4, 6, 7])
def test_it_is_deleted_in_steps_of_any_size(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Numbers of blocks, rows and records around one and two steps of three."""
    monkeypatch.setattr(pruning, "PRUNED_BLOCKS_MAX", 3)
    monkeypatch.setattr(pruning, "PRUNED_RECORDS_MAX", 3)
    kept = sim.append(Event("kept", generation_time=10_000)).event
    for n in range(count):
        sim.append_many(numbered(16, first=n * 160))
        sim.append(Event("row", source="R", generation_time=n, seq_number=n))
    assert entries(sim)["blocks"] >= count
    assert sim.prune(before=9_999).events == 17 * count
    assert (entries(sim)["blocks"], entries(sim)["young"]) == (1, 0)
    check(sim, [kept])
    environment: Any = sim._store._environment  # type: ignore[attr-defined]  # the records are no public thing
    with environment.read() as transaction:
        assert transaction.stat(environment.databases["commits"])["entries"] == 2


@pytest.mark.parametrize("sources", [999, 1_000, 1_001])
def test_the_report_names_a_thousand_sources(sim: Instance, sources: int) -> None:
    sim.append_many(Event("m", source=f"S{n:04}", generation_time=n) for n in range(sources))
    done = sim.prune(before=NOW, dry_run=True)
    assert (len(done.odd_times), done.odd_sources) == (min(sources, 1_000), sources)
    assert done.described("sim").endswith(f"; and {sources - 5} more")


def test_an_event_at_the_horizon_stays_and_an_equal_time_is_not_split(sim: Instance) -> None:
    sim.append_many(Event("m", source=f"S{n}", generation_time=n // 3, seq_number=n) for n in range(30))
    assert sim.prune(before=5).events == 15
    assert sim.prune(before=5).events == 0
    assert set(times(sim)) == {5, 6, 7, 8, 9}


def test_everything_may_go_and_numbers_go_on(sim: Instance) -> None:
    sim.append_many(numbered(40))
    sim.settle()
    head = sim.cursor()
    assert sim.prune(before=NOW).events == 40
    check(sim, [])
    assert sim.cursor() == head
    assert list(sim.changes(head)) == []
    assert sim.prune(before=NOW).events == 0
    new = sim.append(Event("new", source="S0", generation_time=NOW))
    assert new.event.seq_number == 40
    check(sim, [new.event])
    assert [change.event for change in sim.changes(head)] == [new.event]


def test_the_horizon_never_goes_back(sim: Instance) -> None:
    sim.append_many(numbered(40))
    sim.prune(before=200)
    assert sim.prune(before=100).horizon == 200
    assert sim.prune(keep_days=1_000_000).horizon == 200
    assert sim.prune(max_events=1_000).horizon == 200
    assert len(times(sim)) == 20


def test_an_older_event_is_expired_and_a_retry_too(sim: Instance) -> None:
    events = numbered(20)
    sim.append_many(events, request_id="r")
    sim.prune(before=100)
    with pytest.raises(ExpiredError, match=r"generation_time 1970-01-01T00:00:00\.000090Z is before"):
        sim.append(events[9])
    with pytest.raises(InvalidInputError, match=r"before .2.*Z.: must not be later than .* clock, 2"):
        sim.prune(before=NOW + 1)
    assert sim.append(events[10]).duplicate
    counts = sim.append_many(events, request_id="r")
    assert (counts.stored, counts.duplicates, counts.expired) == (0, 10, 10)
    retry = Event("by the clock", source="C")
    stored = sim.append(retry, request_id="clock").event
    sim.prune(before=NOW)
    assert sim.get(stored.key) == stored  # it is at the horizon
    assert sim.append(retry, request_id="clock").duplicate


def test_a_follower_behind_gets_the_oldest_cursor_that_works(sim: Instance) -> None:
    for n in range(30):
        sim.append_many(numbered(3, first=n * 100))
    sim.append(Event("late", generation_time=5))
    cursors = [change.cursor for change in sim.changes()]
    sim.settle()
    sim.prune(before=1_000)
    assert len(list(sim.changes())) == 60
    with pytest.raises(CursorGoneError) as caught:
        sim.changes(cursors[0])
    # The late event was the newest before the horizon.
    assert list(sim.changes(caught.value.oldest)) == []
    new = sim.append(Event("new", generation_time=NOW)).event
    assert [change.event for change in sim.changes(caught.value.oldest)] == [new]
    assert [change.event for change in sim.changes(cursors[-1])] == [new]


def test_records_of_commits_go_only_when_nothing_of_them_is_left(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "PACK_COMMITS_MAX", 1)
    for n in range(40):
        sim.append(Event(f"m{n}", source="S", generation_time=n if n != 3 else 10_000))
    sim.prune(before=20)
    environment: Any = sim._store._environment  # type: ignore[attr-defined]  # the records are no public thing
    with environment.read() as transaction:
        records = transaction.stat(environment.databases["commits"])["entries"]
    assert records == 22  # the horizon's own, 20 after it, and that of the event at 10,000
    cursor = sim.cursor()
    assert [change.event.message for change in sim.changes()][:2] == ["m3", "m20"]
    sim.settle()
    assert sim.cursor() == cursor
    assert [change.event.message for change in sim.changes()][:2] == ["m3", "m20"]
    sim.prune(before=30)
    assert [change.event.message for change in sim.changes()][:2] == ["m3", "m30"]


@pytest.mark.parametrize("window", [1, 2, 4_000_000])
def test_an_event_whose_record_is_missing_before_the_horizon_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(arrival_check, "_WINDOW_COMMITS_MAX", window)
    monkeypatch.setattr(checkpoint, "PACK_COMMITS_MAX", 1)
    with Archive.open(tmp_path / "a", options=options()) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(10):
            sim.append(Event(f"m{n}", generation_time=n if n != 3 else 10_000))
        sim.prune(before=7)
        found = sim.verify()
        assert found is not None
        assert found.faults == ()

        def lose(stored: WriteTransaction) -> None:
            stored.delete_commits([commit_key(4)])

        sim._store._writer.run_in_transaction(lose)  # type: ignore[attr-defined]  # damage
        found = sim.verify()
        assert found is not None
        assert [fault.where for fault in found.faults] == ["commits 4"]


class Model:
    """A dictionary beside an instance, and all cursors that it gave out."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory, self.random = directory, random.Random(seed)
        self.events: dict[EventKey, Event] = {}
        self.arrived: list[EventKey] = []
        self.cursors: list[tuple[str, int]] = []
        """Each with the number of events that had arrived before it."""
        self.horizon = -1
        self.top = 0

    def run(self, steps: int) -> None:
        for _ in range(steps // 10):
            with Archive.open(self.directory, options=options(late_share=4)) as archive:
                self.sim = archive.instance("sim", create=True)
                for _ in range(10):
                    self.step()
                check(self.sim, list(self.events.values()))
                self.follow()

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.5:
            self.append()
        elif choice < 0.65:
            self.sim.settle()
        elif choice < 0.7:
            self.sim.compact()
        elif choice < 0.85:
            self.prune()
        else:
            self.cursors.append((self.sim.cursor(), len(self.arrived)))

    def append(self) -> None:
        kind = self.random.choice(["batch", "one", "late", "expired"])
        count = self.random.choice([7, 8, 40]) if kind == "batch" else 1
        given = []
        for _ in range(count):
            self.top += self.random.choice([0, 1, 5])
            at = self.top
            if kind in ("late", "expired") and self.top > 1:
                low, high = (self.horizon, self.top) if kind == "late" else (-1, max(0, self.horizon))
                at = self.random.randrange(low, high) if low < high else self.top
            given.append(Event("m", source=f"S{self.random.randrange(3)}", generation_time=at))
        before = self.sim.cursor()
        counts = self.sim.append_many(given)
        expired = sum((event.generation_time or 0) < self.horizon for event in given)
        assert (counts.stored, counts.expired) == (count - expired, expired)
        new = [change.event for change in self.sim.changes(before)]
        assert len(new) == counts.stored
        self.events |= {event.key: event for event in new}
        self.arrived += [event.key for event in new]

    def prune(self) -> None:
        horizon = self.random.randrange(-1, self.top + 2)
        gone = [key for key in self.events if key.generation_time < max(horizon, self.horizon)]
        assert self.sim.prune(before=horizon, dry_run=True).events == len(gone)
        assert self.sim.prune(before=horizon).events == len(gone)
        self.horizon = max(self.horizon, horizon)
        for key in gone:
            del self.events[key]

    def follow(self) -> None:
        """Follow from every cursor: it gives the events after it that are left, or is refused."""
        for cursor, arrived in self.cursors:
            after = [key for key in self.arrived[arrived:] if key in self.events]
            try:
                found = [change.event.key for change in self.sim.changes(cursor)]
            except CursorGoneError as error:
                assert set(self.arrived[arrived:]) - self.events.keys()  # else nothing was missed
                found = [change.event.key for change in self.sim.changes(error.oldest)]
                assert found == after[len(after) - len(found) :]
            else:
                assert found == after


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 40))])
def test_a_dictionary_beside_the_store_agrees(tmp_path: Path, seed: int) -> None:
    Model(tmp_path / "a", seed).run(40)


def test_the_points_passed_are_the_points_listed(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.append_many(numbered(40))
    sim.settle()
    passed: list[str] = []
    monkeypatch.setattr(failpoints, "on_point", passed.append)
    sim.prune(before=200)
    assert tuple(point for point in passed if point.startswith("prune-")) == PRUNE_POINTS


MORE_POINTS = [
    *((point, passes) for point in ("task-before-commit", "task-after-commit") for passes in range(2)),
    *((point, 0) for point in ("block-half-deleted", "step-block-deleted", "block-half-put", "block-put")),
]
KILLED = [
    *((point, 0) for point in PRUNE_POINTS),
    *(pytest.param(*point, marks=pytest.mark.long) for point in MORE_POINTS),
]


@pytest.mark.parametrize(("point", "passes"), KILLED)
def test_after_a_kill_at_any_step_it_goes_on(tmp_path: Path, point: str, passes: int) -> None:
    code = """
        from tests.dying import die_at
        options = Options(block_events_max=16, run_events_min=8, maintenance=False)
        with Archive.open(sys.argv[1], options=options) as archive:
            sim = archive.instance("sim", create=True)
            for part in range(4):
                sim.append_many(
                    Event(f"m{n}", source=f"S{n % 3}", generation_time=n * 10, seq_number=n)
                    for n in range(part * 25, part * 25 + 25)
                )
            sim.settle()
            sim.append(Event("row", source="R", generation_time=1, seq_number=0))
            if not sys.argv[2].startswith("prune"):
                sim.settle()  # the horizon moves after a checkpoint, which passes these points too
            die_at(sys.argv[2], int(sys.argv[3]))
            sim.prune(before=505)
    """
    run_in_fork(code, tmp_path / "a", point, passes, status=-signal.SIGKILL)
    with Archive.open(tmp_path / "a", options=options()) as archive:
        sim = archive.instance("sim")
        moved = PRUNE_POINTS.index(point) > 1 if point in PRUNE_POINTS else True
        left = [
            event for event in numbered(100, sources=3) if not moved or (event.generation_time or 0) >= 505
        ]
        if not moved:
            left.append(Event("row", source="R", generation_time=1, seq_number=0))
        check(sim, left)
        sim._store._maintenance.look(0)  # type: ignore[attr-defined]  # what the thread does
        check(sim, left)
        if moved:
            assert entries(sim)["young"] == 0
            assert entries(sim)["blocks"] == 4
        sim.prune(before=505)
        check(sim, numbered(100, sources=3)[51:])


@pytest.mark.parametrize("point", [*PRUNE_POINTS, "task-before-commit"])
def test_after_a_failure_at_any_step_it_can_be_done_again(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    events = numbered(100, sources=3)
    sim.append_many(events)
    sim.settle()
    sim.append(Event("row", source="R", generation_time=1, seq_number=0))
    if point == "task-before-commit":
        sim.settle()  # the horizon moves after a checkpoint, which passes that point too
    failed: list[str] = []

    def fail(name: str) -> None:
        if name == point and not failed:
            failed.append(name)
            raise OutOfSpaceError("disk", "full")

    monkeypatch.setattr(failpoints, "on_point", fail)
    with pytest.raises(OutOfSpaceError):
        sim.prune(before=505)
    moved = PRUNE_POINTS.index(point) > 1 if point in PRUNE_POINTS else True
    assert len(times(sim)) == (49 if moved else 101)
    if moved:
        with pytest.raises(ExpiredError):
            sim.append(events[50])
    else:
        assert sim.append(events[50]).duplicate
    sim.prune(before=505)
    check(sim, events[51:])
    assert entries(sim)["young"] == 0


@pytest.mark.parametrize("point", PRUNE_POINTS)
def test_an_interrupt_ends_the_wait_only(sim: Instance, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    events = numbered(60)
    sim.append_many(events)
    sim.settle()
    met: list[str] = []

    def interrupt(name: str) -> None:
        if name == point and not met:
            met.append(name)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(failpoints, "on_point", interrupt)
    with suppress(KeyboardInterrupt):
        sim.prune(before=300)
    sim.prune(before=300)  # waits for the other one
    check(sim, events[30:])


def test_events_are_appended_meanwhile_and_counts_stay_right(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = numbered(200, sources=2)
    sim.append_many(events)
    sim.settle()
    left = {event.key for event in events[100:]}
    expired: list[bool] = []

    def append(point: str) -> None:
        if not point.startswith("prune-") or point in ("prune-before-horizon", "prune-after-horizon"):
            return
        n = PRUNE_POINTS.index(point)
        for at in (991 + n, 2_000 + n):
            try:
                event = sim.append(Event(point, source="late", generation_time=at, seq_number=n)).event
            except ExpiredError:
                expired.append(True)
            else:
                left.add(event.key)
        if point == "prune-begun":
            left.discard(EventKey(991, "late", 0))
            left.discard(EventKey(991 + n, "late", n))
        assert sim.count() == len(list(sim.events())) == sim.stats().events

    monkeypatch.setattr(failpoints, "on_point", append)
    sim.prune(before=1_000)
    monkeypatch.setattr(failpoints, "on_point", None)
    assert {event.key for event in sim.events()} == left
    assert expired
    assert sim.count() == len(left)


def test_what_comes_while_it_counts_is_counted(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late events of commits after the first look, in runs that overlap, before and after the horizon."""
    sim.append_many(numbered(100))
    sim.settle()
    take_all = Survey.take_all

    def slowly(self: Any, *given: Any) -> None:
        take_all(self, *given)
        sim.append_many(Event("a", source="A", generation_time=n * 7, seq_number=n) for n in range(100))
        sim.append_many(Event("b", source="B", generation_time=n * 11, seq_number=n) for n in range(60))

    monkeypatch.setattr(Survey, "take_all", slowly)
    before = sum(time < 501 for time in [*range(0, 1_000, 10), *range(0, 700, 7), *range(0, 660, 11)])
    assert sim.prune(before=501).events == before
    left = list(sim.events())
    assert len(left) == 260 - before
    check(sim, left)


def test_threads_append_and_read_while_it_is_pruned_again_and_again(sim: Instance) -> None:
    done = threading.Event()
    kept: list[set[EventKey]] = [set(), set()]
    faults: list[BaseException] = []

    def write(worker: int) -> None:
        for n in range(1, 41):
            if done.is_set():
                return
            many = [
                Event("m", source=f"W{worker}", generation_time=n * 100 + m, seq_number=n * 100 + m)
                for m in range(1 if n % 3 else 20)
            ]
            sim.append_many(many)
            kept[worker].update(event.key for event in many)

    def read() -> None:
        while not done.wait(0.01):
            found = [event.key for event in sim.events()]
            assert found == sorted(set(found))
            arrived = [change.event.key for change in sim.changes()]
            assert len(arrived) == len(set(arrived))
            cursor = None
            with suppress(CursorGoneError):
                for change in sim.changes():
                    cursor = change.cursor
                list(sim.changes(cursor))

    def guarded(work: Callable[..., None], *given: int) -> None:
        try:
            work(*given)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=guarded, args=given) for given in ((write, 0), (write, 1), (read,))]
    for thread in threads:
        thread.start()
    horizon = 0
    for n in range(5):
        newest = max((key.generation_time for keys in kept for key in tuple(keys)), default=0)
        horizon = max(horizon, newest - 400)
        sim.prune(before=horizon)
        if n == 2:
            sim.settle()
        found = sim.verify()
        assert found is not None
        assert found.faults == ()
    for thread in threads[:2]:
        thread.join()
    done.set()
    threads[2].join()
    assert faults == []
    expected = sorted(key for keys in kept for key in keys if key.generation_time >= horizon)
    assert [event.key for event in sim.events()] == expected


def test_a_scan_that_is_under_way_goes_on(sim: Instance) -> None:
    events = numbered(300)
    sim.append_many(events[:150])
    for event in events[150:170]:
        sim.append(event)
    sim.append_many(events[170:])
    sim.settle()
    scan, backwards = sim.events(), sim.events(descending=True)
    begun = [next(scan) for _ in range(3)], [next(backwards) for _ in range(3)]
    sim.prune(before=2_000)
    rest = [event.key for event in scan]
    assert rest == sorted(rest)
    assert rest[-100:] == [event.key for event in events[200:]]
    assert [event.key for event in (*begun[1], *backwards)][:100] == [one.key for one in events[:199:-1]]


@pytest.mark.parametrize("packed", [False, True])
def test_changes_that_are_read_go_on_with_right_positions(sim: Instance, packed: bool) -> None:
    for first in (0, 1_000, 2_000):
        sim.append_many(numbered(60, first=first))
    if packed:
        sim.settle()
    reading = sim.changes()
    seen = [next(reading) for _ in range(2)]
    sim.prune(before=2_305)
    seen += reading
    keys = [change.event.key for change in seen]
    assert len(keys) == len(set(keys))
    assert [key.generation_time for key in keys][-29:] == list(range(2_310, 2_600, 10))
    # Whoever follows from one of these cursors gets exactly what comes after it.
    for at, change in enumerate(seen[-29:]):
        found = [after.event.key for after in sim.changes(change.cursor)]
        assert found == keys[len(keys) - 29 + at + 1 :]


def test_a_verification_meanwhile_finds_no_fault(sim: Instance) -> None:
    for first in (0, 1_000, 2_000):
        sim.append_many(numbered(60, first=first))
    sim.settle()
    horizon = 300

    def prune(_read: int, _all: int) -> None:
        nonlocal horizon
        horizon = min(horizon + 700, 2_100)
        sim.prune(before=horizon)

    found = sim.verify(progress=prune)
    assert found is not None
    assert found.faults == ()
    assert min(times(sim)) == 2_100


def test_a_reader_beside_the_writer_sees_the_horizon_at_once(sim: Instance, tmp_path: Path) -> None:
    events = numbered(60)
    sim.append_many(events)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        beside = archive.instance("sim")
        assert beside.count() == 60
        reading = beside.changes()
        assert next(reading).event.key == events[0].key
        assert beside.prune(before=300, dry_run=True).events == 30
        with pytest.raises(ReadOnlyError):
            beside.prune(before=300)
        sim.prune(before=300)
        assert beside.get(events[29].key) is None
        assert beside.count() == len(list(beside.events())) == 30
        assert len(list(beside.changes())) == 30
        assert [change.event.key for change in reading][-30:] == [event.key for event in events[30:]]


def test_another_process_sees_the_horizon_at_once(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        archive.instance("sim", create=True).append_many(numbered(60))
        code = """
            with Archive.open(sys.argv[1], readonly=True) as archive:
                sim = archive.instance("sim")
                scan = sim.events()
                next(scan)
                print(sim.count(), flush=True)
                sys.stdin.readline()
                print(sim.count(), len(list(sim.events())), sim.get(EventKey(290, "S0", 29)))
                print(max(event.seq_number for event in scan))
        """
        from tests.child import start  # noqa: PLC0415

        with stopping(start(code, tmp_path / "a")) as child:
            assert child.stdout is not None
            assert child.stdin is not None
            assert child.stdout.readline() == "60\n"
            archive.instance("sim").prune(before=300)
            printed, complaints = child.communicate("\n", timeout=60)
        assert printed.splitlines() == ["30 30 None", "59"], complaints


def test_a_mirror_keeps_what_its_own_horizon_says(sim: Instance, tmp_path: Path) -> None:
    for first in (0, 1_000):
        sim.append_many(numbered(40, first=first))
    with Archive.open(tmp_path / "m", options=options()) as archive:
        copy = archive.instance("copy", create=True)
        commits = list(sim.commits())
        copy.take_over(commits[:1], MirrorState("http://a:1", "sim", commits[0].cursor))
        assert copy.prune(before=1_200).events == 40
        copy.take_over(commits[1:], MirrorState("http://a:1", "sim", commits[1].cursor))
        assert times(copy) == list(range(1_200, 1_400, 10))
        assert copy.mirrored is not None
        assert copy.mirrored.cursor == commits[1].cursor
        check_sound(archive)


# Rules


def test_one_rule_at_least_and_only_sensible_ones(sim: Instance) -> None:
    for given, error in (
        ({}, InvalidInputError),
        ({"before": "yesterday"}, BadTimeError),
        ({"before": NOW + 1}, InvalidInputError),
        *(({name: 0}, InvalidInputError) for name in ("keep_days", "max_bytes", "max_events")),
        ({"keep_days": 1_000_001}, InvalidInputError),
        ({"max_events": True}, InvalidInputError),
        ({"before": 0, "dry_run": 1}, InvalidInputError),
    ):
        with pytest.raises(error):
            sim.prune(**given)  # type: ignore[arg-type]  # that is what is tried
    assert sim.prune(before=NOW).horizon == NOW


def test_days_are_counted_from_the_clock_not_from_the_newest_event(sim: Instance) -> None:
    at = [NOW - 3 * DAY_US - 1, NOW - 3 * DAY_US, NOW, NOW + 70 * YEAR_US]
    sim.append_many(Event("m", source="S", generation_time=time) for time in at)
    assert sim.prune(keep_days=1_000_000).horizon == TIME_MIN_US
    assert sim.prune(keep_days=4).events == 0
    done = sim.prune(keep_days=3)
    assert (done.horizon, done.events) == (NOW - 3 * DAY_US, 1)
    assert done.odd_times == (OddTimes("S", 1, at[3], at[3], pruned=False),)
    assert times(sim) == at[1:]


def test_a_clock_that_is_far_ahead_takes_nothing(tmp_path: Path) -> None:
    now = NOW
    with Archive.open(tmp_path / "a", options=options(clock=lambda: now)) as archive:
        sim = archive.instance("sim", create=True)
        assert sim.prune(keep_days=1).events == 0  # there is no commit to compare with
        sim.append(Event("m", source="S", generation_time=NOW))
        now = NOW + YEAR_US
        assert sim.prune(keep_days=400).events == 0
        now += 1
        with pytest.raises(InvalidInputError, match="clock"):
            sim.prune(keep_days=1)
        assert sim.count() == 1
        assert sim.prune(before=now).events == 1


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("most", [1, 15, 16, 17, 99, 100, 101])
def test_the_newest_events_stay_whatever_clocks_say(sim: Instance, most: int, settled: bool) -> None:
    ordinary = [NOW - 1_000 + n for n in range(100)]
    ahead = [NOW + ODD_AFTER_US + 1 + n for n in range(20)]
    sim.append_many(Event("m", source="S", generation_time=time) for time in ordinary)
    sim.append_many(Event("m", source="F", generation_time=time) for time in ahead)
    sim.append(Event("m", source="Z", generation_time=ODD_BEFORE_US - 1))
    if settled:
        sim.settle()
    said = sim.prune(max_events=most, dry_run=True)
    assert sim.count() == 121
    done = sim.prune(max_events=most)
    assert done == said.__class__(**{**vars(said), "seconds": done.seconds})
    gone = 101 - min(most, 101)
    assert done.events == gone
    assert times(sim) == [*([ODD_BEFORE_US - 1] if not gone else []), *ordinary[max(0, gone - 1) :], *ahead]
    odd = [OddTimes("F", 20, ahead[0], ahead[-1], pruned=False)]
    if gone:
        odd.append(OddTimes("Z", 1, ODD_BEFORE_US - 1, ODD_BEFORE_US - 1, pruned=True))
    assert done.odd_times == tuple(odd)
    assert done.odd_sources == len(odd)


def test_events_of_one_time_stay_or_go_together(sim: Instance) -> None:
    sim.append_many(Event("m", source=f"S{n}", generation_time=n // 10, seq_number=n) for n in range(100))
    assert sim.prune(max_events=35).events == 70
    assert set(times(sim)) == {7, 8, 9}


def test_events_up_to_a_day_ahead_are_ordinary_but_the_horizon_is_not_after_the_clock(sim: Instance) -> None:
    sim.append_many(Event("m", generation_time=NOW - 5 + n) for n in range(10))
    assert sim.prune(max_events=2).horizon == NOW
    assert times(sim) == list(range(NOW, NOW + 5))


def test_bytes_are_counted_from_the_newest_end(sim: Instance) -> None:
    sim.append_many(
        Event(random.Random(n).randbytes(500).hex(), source="S", generation_time=NOW - 1_000 + n)
        for n in range(400)
    )
    sim.settle()
    whole = sim.prune(before=NOW, dry_run=True).size_bytes
    assert whole > 200_000
    assert sim.prune(max_bytes=2 * whole).events == 0
    done = sim.prune(max_bytes=whole // 2)
    assert 180 <= done.events <= 220
    assert abs(done.size_bytes - whole / 2) < whole / 10
    assert 180 <= sim.count() <= 220


def test_the_latest_of_several_rules_counts(sim: Instance) -> None:
    sim.append_many(Event("m", generation_time=NOW - DAY_US + n) for n in range(50))
    assert sim.prune(before=NOW - DAY_US + 5, max_events=10, keep_days=3).events == 40


def test_a_dry_run_changes_nothing(sim: Instance, tmp_path: Path) -> None:
    sim.append_many(numbered(60))
    before = (tmp_path / "a" / "sim" / "gen-1" / "data.mdb").read_bytes()
    assert sim.prune(before=300, dry_run=True).events == 30
    assert (tmp_path / "a" / "sim" / "gen-1" / "data.mdb").read_bytes() == before
    assert sim.count() == 60


@pytest.mark.parametrize(
    ("given", "left"), [({"keep_days": 2}, 25), ({"max_events": 7}, 7), ({"max_bytes": 1}, 0)]
)
def test_a_schedule_prunes_at_first_and_then_once_an_hour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: Any, left: int
) -> None:
    caplog.set_level("INFO", logger="yamcs_archive")
    now = NOW
    with Archive.open(tmp_path / "a", options=options(clock=lambda: now, **given)) as archive:
        sim = archive.instance("sim", create=True)

        def look(steady: int) -> int:
            sim._store._maintenance.look(steady)  # type: ignore[attr-defined]  # what the thread does
            return sim.count()

        def append() -> None:
            times = [now - 2 * DAY_US + n for n in range(-25, 25)]
            assert sim.append_many(Event(f"{now}", generation_time=time) for time in times).stored >= 25

        append()
        assert look(0) == left
        assert "sim: pruned before 2027-01-1" in caplog.text
        assert f" {50 - left} events, about" in caplog.text
        now += 1_000_000_000
        append()
        count = sim.count()
        assert count > left
        assert look(PRUNE_EVERY_US - 1) == count
        assert look(PRUNE_EVERY_US) == left
        check_sound(archive)


def test_a_schedule_with_a_clock_far_ahead_takes_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = NOW
    with Archive.open(tmp_path / "a", options=options(clock=lambda: now, keep_days=1)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("m", generation_time=NOW))
        now = NOW + 70 * YEAR_US
        sim._store._maintenance.look(0)  # type: ignore[attr-defined]  # what the thread does
        assert sim.count() == 1
        assert "is not pruned" in caplog.text


def test_a_pruning_ends_with_its_archive_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive.open(tmp_path / "a", options=options())
    sim = archive.instance("sim", create=True)
    sim.append_many(numbered(100))
    closing = threading.Thread(target=archive.close)

    def close(point: str) -> None:
        if point == "prune-horizon-moved":
            closing.start()
            while not sim._closed:
                pass

    monkeypatch.setattr(failpoints, "on_point", close)
    with pytest.raises(ClosedError):
        sim.prune(before=500)
    closing.join()
    monkeypatch.setattr(failpoints, "on_point", None)
    with Archive.open(tmp_path / "a", options=options()) as again:
        sim = again.instance("sim")
        check(sim, numbered(100)[50:])
        sim.compact()
        check(sim, numbered(100)[50:])
        assert entries(sim)["blocks"] == 4


def test_groups_of_blocks_begin_with_a_block_after_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(group_closing, "GROUP_BLOCKS_MAX", 4)
    monkeypatch.setattr(pruning, "PRUNED_BLOCKS_MAX", 3)
    with Archive.open(tmp_path / "a", options=options()) as archive:
        sim = archive.instance("sim", create=True)
        events = numbered(16 * 30, sources=2)
        sim.append_many(events)
        sim.settle()
        environment: Any = sim._store._environment  # type: ignore[attr-defined]  # groups are no public thing
        seen = 0

        def groups(point: str) -> None:
            nonlocal seen
            if point != "task-after-commit":
                return
            with environment.read() as transaction:
                keys = list(transaction.cursor(environment.databases["summaries"]).iternext(values=False))
            blocks = {key[1:] for key in keys if key[:1] == b"\0"}
            found = [key[1:] for key in keys if key[:1] == b"\1"]
            assert set(found) <= blocks
            seen += len(found)

        monkeypatch.setattr(failpoints, "on_point", groups)
        for horizon in (10, 155, 160, 161, 640, 1_275, 2_000):
            sim.prune(before=horizon)
            left = [event for event in events if (event.generation_time or 0) >= horizon]
            check(sim, left)
            assert len(list(sim.events(sources=["S1"]))) == sum(event.source == "S1" for event in left)
        assert seen > 10
        check_sound(archive)


@pytest.mark.damaging
@pytest.mark.parametrize("where", ["below", "around"])
def test_a_damaged_block_does_not_hold_pruning_up(tmp_path: Path, where: str) -> None:
    with Archive.open(tmp_path / "a", options=options()) as archive:
        sim = archive.instance("sim", create=True)
        events = numbered(96)
        sim.append_many(events)
        sim.settle()

        def damage(stored: WriteTransaction) -> None:
            key = stored.index.first_from(b"" if where == "below" else time_bound(321))
            assert key is not None
            database = stored._databases["blocks"]
            value = stored._transaction.get(key, db=database)
            assert value is not None
            flipped = value[:40] + bytes([value[40] ^ 1]) + value[41:]
            stored._transaction.put(key, flipped, db=database)

        sim._store._writer.run_in_transaction(damage)  # type: ignore[attr-defined]  # damage
        done = sim.prune(before=325 if where == "below" else 485 + 5)
        assert done.damaged == 1
        if where == "below":
            assert done.events == 33  # there is only one source
            check(sim, events[33:])
        assert sim.append(Event("new", source="N", generation_time=NOW)).event.seq_number == 0


def test_severities_and_texts_are_found_in_a_block_that_was_cut(sim: Instance) -> None:
    events = [
        Event(f"text {n}", source=f"S{n % 3}", generation_time=n, seq_number=n, severity=Severity(n % 6))
        for n in range(48)
    ]
    sim.append_many(events)
    sim.settle()
    sim.append(Event("late", source="S0", generation_time=24, seq_number=99))
    sim.settle()  # in the late part of a block
    sim.prune(before=23)
    assert sim.count(text="TEXT") == 25
    assert [event.message for event in sim.events(stop=26)] == ["text 23", "text 24", "late", "text 25"]
    assert sim.count(min_severity=Severity.SEVERE) == sum(n % 6 == 5 for n in range(23, 48))


def test_a_pruned_archive_can_be_read_by_a_process_of_its_own(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=options()) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(60))
        sim.prune(before=300)
    code = """
        with Archive.open(sys.argv[1]) as archive:
            print(archive.instance("sim").verify().events)
    """
    assert run(code, tmp_path / "a") == "30\n"
