"""Failures before a commit, and between a commit and its answer: the state in memory agrees with the file.

A failure after the commit is the dangerous one: the file has events that the state in memory does not
include, so the next commit could reuse its number, its keys or its counts.
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.child import run_in_fork
from tests.storage.test_checkpoints import SMALL, whole
from tests.storage.test_taking_over import take
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import ArchiveError, MirrorError, OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.event import as_stored
from yamcs_archive.results import Commit
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.failpoints import BLOCK_POINTS, GROUP_COMMIT_POINTS, LATE_BULK_POINTS
from yamcs_archive.storage.failpoints import BULK_POINTS as OWN_POINTS
from yamcs_archive.storage.write import committer

BULK_POINTS = (*GROUP_COMMIT_POINTS[:3], *OWN_POINTS, GROUP_COMMIT_POINTS[-1])
"""The failpoints of a commit that writes blocks at once."""

LATE_POINTS = (*GROUP_COMMIT_POINTS[:3], *LATE_BULK_POINTS, GROUP_COMMIT_POINTS[-1])
"""Those of a commit that has late events, too."""

STORED = BULK_POINTS[BULK_POINTS.index("after-commit") :]


class At:
    """Fails once, when a failpoint is reached for the n-th time."""

    def __init__(self, point: str, fault: type[BaseException], times: int = 1) -> None:
        self.point, self.fault, self.left = point, fault, times

    def __call__(self, reached: str) -> None:
        self.left -= reached == self.point
        if not self.left:
            failpoints.on_point = None
            raise self.fault("stopped here")


@pytest.fixture(autouse=True)
def _no_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "on_point", None)  # restored at the end of the test


def batch(turn: int) -> list[Event]:
    """Events after those of the turn before; the first ones leave a block that the next two turns fill up."""
    return [
        Event(
            f"{turn}/{n}",
            source=f"S{n % 3}",
            generation_time=turn * 1000 + n,
            seq_number=turn,
            reception_time=0,
        )
        for n in range(8 if turn else 19)
    ]


def late_batch(turn: int) -> list[Event]:
    """Events of the turn, and late ones within the blocks of all turns before it."""
    late = [
        Event(f"{turn}/late", source="L", generation_time=at * 1000 + 3, seq_number=turn, reception_time=0)
        for at in range(turn)
    ]
    return [*batch(turn), *late]


def holds(sim: Instance, expected: list[Event]) -> None:
    """Check that these events are stored, and that all ways to read and count them agree."""
    whole(sim)
    assert list(sim.events()) == sorted(expected, key=lambda event: event.key)
    counted = {name: state.events for name, state in sim.stats().sources.items()}
    assert counted == Counter(event.source for event in expected)


def test_a_long_append_passes_the_points_of_its_blocks_too(small: Instance) -> None:
    passed: list[str] = []
    failpoints.on_point = passed.append
    small.append_many(batch(0))
    assert tuple(dict.fromkeys(passed)) == BULK_POINTS
    passed.clear()
    small.append_many(late_batch(1))
    assert tuple(dict.fromkeys(passed)) == LATE_POINTS


@pytest.mark.parametrize("fault", [ArchiveError, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("point", LATE_POINTS)
def test_a_failure_leaves_all_of_a_long_append_with_late_events_or_nothing(
    small: Instance, point: str, fault: type[BaseException]
) -> None:
    small.append_many(late_batch(0))
    small.append_many(late_batch(1))
    waiting = small.arrival(small.cursor())
    small._store._writer._state.log.roll()  # type: ignore[attr-defined]  # all points are reached
    failpoints.on_point = At(point, fault)
    with pytest.raises((fault, OutcomeUnknownError, OutOfSpaceError)):
        small.append_many(late_batch(2))
    there = point in STORED
    expected = [*late_batch(0), *late_batch(1), *(late_batch(2) if there else ())]
    holds(small, expected)
    if there:
        waiting.result(timeout=30)
    done = small.append_many(late_batch(2))
    assert (done.stored, done.duplicates) == ((0, 10) if there else (10, 0))
    small.append_many(late_batch(3))
    expected = [event for turn in range(4) for event in late_batch(turn)]
    holds(small, expected)
    small.settle()
    holds(small, expected)


@pytest.mark.parametrize("fault", [ArchiveError, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("point", BULK_POINTS)
def test_a_failure_leaves_all_of_a_long_append_or_nothing_and_the_next_one_goes_on(
    small: Instance, point: str, fault: type[BaseException]
) -> None:
    small.append_many(batch(0))
    assert small.append_many(batch(0)).duplicates == 19  # counts that are not stored yet
    waiting = small.arrival(small.cursor())
    failpoints.on_point = At(point, fault)
    with pytest.raises((fault, OutcomeUnknownError)):
        small.append_many(batch(1))
    there = point in STORED
    holds(small, batch(0) + batch(1) * there)
    if there:
        waiting.result(timeout=30)
    small.append_many(batch(2))  # they replace the cached block before them
    holds(small, batch(0) + batch(1) * there + batch(2))
    done = small.append_many(batch(1))
    assert (done.stored, done.duplicates) == ((0, 8) if there else (8, 0))
    late = Event("late", source="S0", generation_time=1005, seq_number=9, reception_time=0)
    assert not small.append(late).duplicate
    expected = [*batch(0), *batch(1), *batch(2), late]
    holds(small, expected)
    small.settle()
    holds(small, expected)
    waiting.result(timeout=30)


_APPEND_THEN_DIE = """
    from tests.dying import die_at
    from yamcs_archive.storage.write import committer
    directory, point, passes, late = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    options = Options(block_events_max=16, run_events_min=8, maintenance=False)
    sim = Archive.open(directory, options=options).instance("sim", create=True)

    die_at(point, passes)
    for turn in range(5):
        events = [
            Event(
                f"{turn}/{n}",
                source=f"S{n % 3}",
                generation_time=turn * 1000 + n,
                seq_number=turn,
                reception_time=0,
            )
            for n in range(8 if turn else 19)
        ]
        if late == "True":
            events += [
                Event(
                    f"{turn}/late",
                    source="L",
                    generation_time=at * 1000 + 3,
                    seq_number=turn,
                    reception_time=0,
                )
                for at in range(turn)
            ]
        sim.append_many(events)
        print(turn, flush=True)
"""


@pytest.mark.parametrize(
    ("point", "late"), [*((point, False) for point in BULK_POINTS), *((point, True) for point in LATE_POINTS)]
)
@pytest.mark.parametrize("passes", [0, 2])
def test_a_kill_leaves_all_of_a_long_append_or_nothing_and_the_next_one_goes_on(
    tmp_path: Path, point: str, passes: int, *, late: bool
) -> None:
    if point == "log-segment-made":
        passes = 0  # one segment has them all
    offered = late_batch if late else batch
    printed = run_in_fork(_APPEND_THEN_DIE, tmp_path / "a", point, passes, late, status=-signal.SIGKILL)
    acknowledged = len(printed.split())
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        turns = acknowledged + (point in STORED)
        holds(sim, [event for turn in range(turns) for event in offered(turn)])
        for turn in range(5):
            assert sim.append_many(offered(turn)).duplicates == len(offered(turn)) * (turn < turns)
        sim.settle()
        holds(sim, [event for turn in range(5) for event in offered(turn)])


@pytest.mark.parametrize("fault", [ArchiveError, MemoryError])
@pytest.mark.parametrize("point", ["outcomes-known", "before-commit", "after-commit"])
def test_a_failure_in_a_crowd_s_commit_stores_each_one_s_event_once(
    sim: Instance, point: str, fault: type[Exception]
) -> None:
    begun, held = threading.Event(), threading.Event()

    def wait(reached: str) -> None:
        if reached == "group-taken":
            failpoints.on_point = At(point, fault, times=2)  # the second commit is the crowd's
            begun.set()
            held.wait(10)

    failpoints.on_point = wait
    futures = [sim.submit(Event("0", source="S"))]
    assert begun.wait(10)
    futures += [sim.submit(Event(f"{n}", source="S")) for n in range(1, 4)]
    held.set()
    unknown = 0
    for future in futures:
        try:
            assert not future.result(10).duplicate
        except OutcomeUnknownError as error:
            unknown += 1
            assert sim.append(*error.events).duplicate
    assert unknown == (3 if point == "after-commit" else 0)
    found = [(change.event.message, change.event.seq_number) for change in sim.changes()]
    assert found == [("0", 0), ("1", 1), ("2", 2), ("3", 3)]
    assert sim.append(Event("4", source="S")).event.seq_number == 4
    whole(sim)


@pytest.mark.parametrize("fault", [ArchiveError, MemoryError])
@pytest.mark.parametrize("point", ["before-commit", *BLOCK_POINTS, "after-commit"])
@pytest.mark.parametrize("turn", [0, 1])
def test_a_failure_leaves_a_page_that_is_taken_over_with_its_cursor_or_neither(
    small: Instance, point: str, fault: type[BaseException], turn: int
) -> None:
    pages = [[Commit(at, tuple(map(as_stored, batch(at))), f"after {at}")] for at in range(4)]
    for page in pages[:turn]:
        take(small, page)
    failpoints.on_point = At(point, fault)
    with pytest.raises(fault, match="stopped here"):
        take(small, pages[turn])
    come = turn + (point == "after-commit")
    holds(small, [event for at in range(come) for event in batch(at)])
    state = small.mirrored
    assert (state.cursor if state else None) == (f"after {come - 1}" if come else None)
    if come:
        with pytest.raises(MirrorError):
            small.append(Event("of its own"))
    for page in pages[turn:]:  # a mirror that heard of a failure may ask for the same page again
        take(small, page)
    assert [commit.time for commit in small.commits()] == [0, 1, 2, 3]
    holds(small, [event for at in range(4) for event in batch(at)])


def test_a_full_disk_is_not_blamed_for_a_failure_after_the_commit(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "nearly_full", lambda _: True)  # which else means that nothing was stored
    failpoints.on_point = At("after-commit", MemoryError)
    with pytest.raises(OutcomeUnknownError) as caught:
        sim.append(Event("stored"))
    assert sim.append(*caught.value.events).duplicate
