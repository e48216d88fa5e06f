"""Events of an iterable get their times when they are taken, and are durable soon, however slow it is."""

from __future__ import annotations

import os
import random
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.child import WAIT_S
from tests.http.feeds import uvicorn_at
from yamcs_archive import (
    Archive,
    Client,
    ClosedError,
    Event,
    ForkedError,
    Instance,
    InvalidInputError,
    Options,
    gathering,
)
from yamcs_archive.columns import Columns
from yamcs_archive.limits import CHUNK_BYTES_MAX, CHUNK_EVENTS_MAX
from yamcs_archive.storage.write.validation import prepare

NOW = 1_767_225_600_000_000


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.002)


def nothing_is_watched() -> bool:
    return gathering._the_watch._watched == []


@pytest.mark.parametrize("count", [1, 15, 31, 32, 33, 64, 10_001])
def test_an_event_has_the_time_of_the_moment_when_it_was_taken(tmp_path: Path, count: int) -> None:
    now = [NOW]

    def supply() -> Iterator[Event]:
        for n in range(count):
            now[0] = NOW + n * 1_000_000  # the device waits for a second
            yield Event(
                f"{n}", generation_time=n if n % 3 == 0 else None, reception_time=n if n == 4 else None
            )

    with Archive.open(tmp_path / "a", options=Options(clock=lambda: now[0])) as archive:
        sim = archive.instance("sim", create=True)
        assert sim.append_many(supply()).stored == count
        for event in sim.events():
            n = int(event.message)
            assert event.generation_time == (n if n % 3 == 0 else NOW + n * 1_000_000)
            assert event.reception_time == (n if n == 4 else NOW + n * 1_000_000)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_what_was_taken_is_durable_although_the_next_event_does_not_come(sim: Instance, count: int) -> None:
    def has(expected: int) -> bool:
        return sim.count() == expected

    def supply() -> Iterator[Event]:
        for turn in range(2):
            yield from (Event(f"{turn}-{n}") for n in range(count))
            wait_until(partial(has, count * (turn + 1)))  # in which nothing is taken

    assert sim.append_many(supply()).stored == 2 * count
    wait_until(nothing_is_watched)


def test_whoever_hands_over_each_event_is_stored_once_and_in_order(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "GATHERED_WAIT_S", 0.002)
    monkeypatch.setattr(gathering, "CHUNK_EVENTS_MAX", 64)
    rhythm = random.Random(5)

    def supply() -> Iterator[Event]:
        for n in range(2_000):
            if rhythm.random() < 0.05:
                time.sleep(rhythm.random() * 0.006)
            yield Event(f"{n}", source=f"S{n % 3}")

    assert sim.append_many(supply()).stored == 2_000
    commits = [[int(event.message) for event in commit.events] for commit in sim.commits()]
    assert sorted(n for commit in commits for n in commit) == list(range(2_000))
    assert [min(commit) for commit in commits] == sorted(min(commit) for commit in commits)
    assert all(max(commit) - min(commit) == len(commit) - 1 for commit in commits)
    assert len(commits) > 2_000 // 64 + 1  # both threads handed over
    for n in range(3):
        found = [event.message for event in sorted(sim.events(sources=[f"S{n}"]), key=lambda e: e.seq_number)]
        assert found == [f"{m}" for m in range(n, 2_000, 3)]


@pytest.mark.parametrize("count", [CHUNK_EVENTS_MAX - 1, CHUNK_EVENTS_MAX, CHUNK_EVENTS_MAX + 1])
@pytest.mark.parametrize("sources", [1, 300])
def test_a_quick_iterable_is_cut_into_full_chunks(count: int, sources: int) -> None:
    sizes: list[int] = []
    events = (Event(f"{n}", source=f"S{n % sources}") for n in range(count))
    gathering.hand_over_gathered(events, lambda: NOW, lambda chunk, _: sizes.append(len(chunk)))
    assert sum(sizes) == count
    assert max(sizes) <= CHUNK_EVENTS_MAX
    assert len(sizes) <= 2 + (count > CHUNK_EVENTS_MAX)  # the other thread may have looked once


def test_large_events_are_cut_into_chunks_by_their_bytes() -> None:
    sizes: list[int] = []
    large = (Event("x" * (CHUNK_BYTES_MAX // 64)) for _ in range(400))
    gathering.hand_over_gathered(large, lambda: NOW, lambda chunk, _: sizes.append(len(chunk)))
    assert (sum(sizes), max(sizes) <= 96) == (400, True)


def test_a_bad_event_on_the_other_thread_ends_the_append_at_the_next_one(sim: Instance) -> None:
    taken: list[str] = []

    def supply() -> Iterator[Any]:
        yield Event("good")
        yield Event("bad", source="x" * 256)
        wait_until(nothing_is_watched)
        for n in range(3):
            taken.append(f"late {n}")
            yield Event(taken[-1])

    with pytest.raises(InvalidInputError) as caught:
        sim.append_many(supply())
    assert (caught.value.field, caught.value.position) == ("source", 1)
    assert caught.value.counts.stored == 1
    assert [event.message for event in sim.events()] == ["good"]
    assert taken == ["late 0"]
    wait_until(nothing_is_watched)


def test_events_for_a_server_are_sent_although_the_next_one_does_not_come(archive: Archive) -> None:
    sim = archive.instance("sim", create=True)

    def supply() -> Iterator[Any]:
        yield Event("first")
        yield Event("second")
        wait_until(lambda: sim.count() == 2)
        yield Event("third")
        yield Event("bad", source="x" * 256)

    with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(InvalidInputError) as caught:
            client.instance("sim").append_many(supply())
        assert (caught.value.position, caught.value.counts.stored) == (3, 3)


@pytest.mark.parametrize("fault", [OSError, KeyboardInterrupt])
def test_an_iterable_that_fails_leaves_no_thread(sim: Instance, fault: type[BaseException]) -> None:
    def supply() -> Iterator[Event]:
        yield from (Event(f"{n}") for n in range(40))
        raise fault("the device is gone")

    with pytest.raises(fault, match="the device is gone"):
        sim.append_many(supply())
    assert sim.count() == (0 if fault is KeyboardInterrupt else 40)
    wait_until(nothing_is_watched)


def test_an_archive_that_is_closed_meanwhile_ends_it(archive: Archive, sim: Instance) -> None:
    def supply() -> Iterator[Event]:
        yield Event("first")
        wait_until(lambda: sim.count() == 1)
        closing = threading.Thread(target=archive.close)
        closing.start()
        closing.join()
        yield Event("second")

    with pytest.raises(ClosedError) as caught:
        sim.append_many(supply())
    assert (caught.value.position, caught.value.counts.stored) == (1, 1)


def test_a_callback_of_submit_cannot_wait_for_it(sim: Instance) -> None:
    found: list[BaseException] = []

    def append(_: object) -> None:
        try:
            sim.append_many(iter([Event("a")]))
        except RuntimeError as error:
            found.append(error)

    done = sim.submit(Event("first"))
    done.add_done_callback(append)
    done.result(WAIT_S)
    sim.submit(Event("second")).result(WAIT_S)
    assert [f"{error}".partition(" and")[0] for error in found] in ([], ["append()"])  # or it was done before
    assert sim.count() == (2 if found else 3)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_within_the_iterable_is_refused_in_the_child(sim: Instance) -> None:
    def supply() -> Iterator[Event]:
        yield Event("first")
        wait_until(lambda: sim.count() == 1)
        child = os.fork()
        if child:
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        yield Event(f"second of {child == 0}")

    parent = os.getpid()
    try:
        counts = sim.append_many(supply())
    except ForkedError:
        os._exit(7 if os.getpid() != parent else 1)
    if os.getpid() != parent:
        os._exit(2)
    assert counts.stored == 2
    assert [event.message for event in sim.events()] == ["first", "second of False"]


@pytest.mark.parametrize("size", [1, 2, 15, 16, 40])
def test_a_reading_for_each_event_fills_in_what_is_none(size: int) -> None:
    stamps = array("q", range(NOW, NOW + size))
    events = [
        Event(f"{n}", generation_time=None if n % 2 else n, reception_time=n if n % 5 == 1 else None)
        for n in range(size)
    ]
    converted = [*events[:-1], replace(events[-1], severity="watch")]  # not by column
    for some in (events, Columns.of(events), converted):
        found = prepare(some, stamps)
        for n, event in enumerate(events):
            given, received = event.generation_time, event.reception_time
            assert found.generation_time[n] == (NOW + n if given is None else given)
            assert found.reception_time[n] == (NOW + n if received is None else received)
