"""Ingest: one or many threads append events in batches, each durable before the next.

The clock runs from the first append until all events are synced and in their final stored form
(:meth:`~benchmarks.contenders.base.Contender.settle`). Sizes are measured after that, when the store is
compacted and closed. The digest is that of a full scan after reopening the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks.contenders import factory
from benchmarks.contenders.base import Contender, allocated_bytes
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.timing import latency_figures, quiet
from benchmarks.workload import Workload
from yamcs_archive import Event

_WARM_UP_EVENTS, _WARM_UP_BATCHES = 2_000, 200


def run(job: Job, directory: Path) -> Outcome:
    """Append the job's workload and return rate, latency of each append, and size at rest."""
    make = factory(job.contender)
    _warm_up(make(directory / "warm-up"), job)
    events = job.workload().events()
    with make(directory / "data") as contender:
        batches = [contender.ready(batch) for batch in cut(events, job.batch_events)]
        quiet()
        start_ns = perf_counter_ns()
        if job.stream:
            latencies_ns = []
            contender.append_stream(batches)
        else:
            latencies_ns = _append_all(_door(contender, job), batches, job.threads)
        contender.settle()
        elapsed_ns = perf_counter_ns() - start_ns
        contender.rest()
        notes = contender.versions() | {"durability": contender.durability}
    size_bytes = allocated_bytes(directory / "data")
    with make(directory / "data") as contender:
        answer = digest(contender.scan())
    stored = int(answer.partition(":")[0])
    return Outcome(
        figures={
            "events_per_s": len(events) / elapsed_ns * 1e9,
            "bytes_per_event": size_bytes / max(stored, 1),
        }
        | (latency_figures(latencies_ns) if latencies_ns else {}),
        digest=answer,
        notes=notes,
    )


def reference(job: Job) -> str:
    """Return the digest of the stored events after all appends."""
    return digest(job.workload().stored())


def cut(events: list[Event], size: int) -> list[list[Event]]:
    """Return the events in lists of ``size``.

    >>> [len(batch) for batch in cut([Event("a")] * 5, 2)]
    [2, 2, 1]
    """
    return [events[first : first + size] for first in range(0, len(events), size)]


def _warm_up(contender: Contender[Any], job: Job) -> None:
    """Make the first calls of each kind before the clock runs."""
    with contender:
        batches = cut(Workload(_WARM_UP_EVENTS, seed=0).events(), min(job.batch_events, 100))
        append = _door(contender, job)
        for batch in batches[:_WARM_UP_BATCHES]:
            append(contender.ready(batch))
        contender.settle()


def _door(contender: Contender[Any], job: Job) -> Callable[[Any], None]:
    """Return the method that the job measures."""
    return contender.append_one if job.single else contender.append


def _append_all(append: Callable[[Any], None], batches: Sequence[Any], threads: int) -> list[int]:
    """Append the batches from several threads, every ``threads``-th from each; return the times in ns."""
    if threads == 1:
        return _append_each(append, batches)
    latencies_ns: list[int] = []
    errors: list[BaseException] = []

    def work(mine: Sequence[Any]) -> None:
        try:
            latencies_ns.extend(_append_each(append, mine))
        except BaseException as error:  # a thread's error must reach the one that waits for it
            errors.append(error)

    workers = [threading.Thread(target=work, args=(batches[n::threads],)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return latencies_ns


def _append_each(append: Callable[[Any], None], batches: Sequence[Any]) -> list[int]:
    latencies_ns = []
    for batch in batches:
        start_ns = perf_counter_ns()
        append(batch)
        latencies_ns.append(perf_counter_ns() - start_ns)
    return latencies_ns
