"""The queue of the writer is bounded by the memory that it takes, not only by its text."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from yamcs_archive import Appended, Archive, Event, Options
from yamcs_archive.event import event_bytes
from yamcs_archive.limits import ATTACHED_BYTES_MAX, CHUNK_BYTES_MAX
from yamcs_archive.storage.format.requests import request_ids
from yamcs_archive.storage.write import writer
from yamcs_archive.storage.write.submissions import Submission, held_by
from yamcs_archive.storage.write.validation import prepare

BOUND_BYTES = 4 << 20


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Return a function that returns the bytes that were allocated since and not freed.

    It measures the whole process, including other threads.
    """
    gc.freeze()  # tracing the objects of earlier tests would take longer than these tests
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]

        def taken() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before

        yield taken
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def some_agree(attempts: Iterator[float], least: float, most: float) -> None:
    """Check that the ratio of counted to allocated bytes is within bounds in one of a few measurements."""
    found: list[float] = []
    for ratio in islice(attempts, 5):
        if least < ratio < most:
            return
        found.append(ratio)
    raise AssertionError(found)


FORMS: dict[str, Callable[[int], dict[str, Any]]] = {
    "bare": lambda n: {},
    "numbered": lambda n: {"seq_number": n + 1000, "generation_time": 1 << 50, "type": f"type {n % 9}"},
    "a user": lambda n: {"created_by": f"user {n}"},
    "a pair": lambda n: {"extra": {"name": f"value {n}"}},
    "many pairs": lambda n: {"extra": {f"name {n} {at}": f"value {at}" for at in range(50)}},
    "bytes": lambda n: {"extensions": b"%099d" % n},
    "long": lambda n: {"message": f"{n}" * 1000},
    "of wide characters": lambda n: {"message": f"\N{ROCKET}{n}" * 1000},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("size", "lots"), [(1, 100), (15, 8), (16, 8), (200, 1)])
@pytest.mark.parametrize("ids", [False, True])
def test_a_submission_counts_about_as_many_bytes_as_it_takes(
    form: str, size: int, lots: int, ids: bool
) -> None:
    def submission(lot: int) -> Submission:
        # Texts are made anew, as they come out of a body, and nobody else holds them.
        numbers = range(lot * size, (lot + 1) * size)
        events = [Event(**{"message": f"Wheel {n}", "source": f"S{n}", **FORMS[form](n)}) for n in numbers]
        columns = prepare(events, lambda: 1 << 50)
        own = request_ids(events, f"request {lot}", 0) if ids else None
        return Submission(columns, 0, id, Future[Appended](), own, held_by(columns, own))

    def ratios() -> Iterator[float]:
        while True:
            with traced() as taken:
                waiting = [submission(lot) for lot in range(lots)]
                ratio = sum(each.held_bytes for each in waiting) / taken()
            yield ratio

    some_agree(ratios(), 0.6, 1.7)


def test_a_producer_is_held_back_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "QUEUED_BYTES_MAX", BOUND_BYTES)
    go_on = threading.Event()
    count = 8_000

    def clock() -> int:  # the writer looks at it when it commits
        if threading.current_thread().name.startswith("archive-writer"):
            go_on.wait(60)
        return 5

    with Archive.open(tmp_path / "a", options=Options(maintenance=False, clock=clock)) as archive:
        sim = archive.instance("sim", create=True)
        submitted = []

        def produce() -> None:
            for n in range(count):
                submitted.append(sim.submit(Event("Wheel 3 over speed", source="AOCS", seq_number=n)))

        producer = threading.Thread(target=produce)
        with traced() as taken:
            producer.start()
            queue = sim._store._writer  # type: ignore[attr-defined]  # nothing else says that it is full
            while producer.is_alive() and queue._waiting_bytes <= BOUND_BYTES:
                time.sleep(0.005)
            took = taken()
        go_on.set()
        producer.join()
        for future in submitted:
            future.result(60)
        assert took < 2 * BOUND_BYTES
        assert sim.stats().events == count


@pytest.mark.parametrize("pairs", [10, 100, ATTACHED_BYTES_MAX // 6])
def test_pairs_of_extra_count_beside_their_text(pairs: int) -> None:
    """Pairs with 256 KiB of text may take 14 MB."""

    def ratios() -> Iterator[float]:
        while True:
            with traced() as taken:
                event = Event("", extra={f"{n:05}": chr(n % 64 + 32) for n in range(pairs)})
                ratio = event_bytes(event) / taken()
            yield ratio

    some_agree(ratios(), 0.5, float("inf"))


def test_the_memory_of_pairs_counts_for_the_size_of_a_chunk() -> None:
    event = Event("a", extra={f"{n:05}": "" for n in range(ATTACHED_BYTES_MAX // 5)})
    assert sum(map(len, event.extra)) < CHUNK_BYTES_MAX < event_bytes(event)
    assert [part.size for part in prepare([event] * 3, int).cut_by_size(CHUNK_BYTES_MAX)] == [1, 1, 1]
