"""Tables: all events to Arrow, and a filter to pandas, from a store at rest.

A contender gives the columns of its own table, in its own types; so a table that is held is what its user
gets. Each figure is the median of some calls, the first of which is not counted: it loads the libraries. The
digest covers the rows, times and messages of every table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.contenders import factory
from benchmarks.jobs import Job, Outcome
from benchmarks.measures import queries
from benchmarks.measures.queries import timed_ms
from benchmarks.timing import quiet
from yamcs_archive import Event, Severity

SOURCE, MIN_SEVERITY = "AOCS", Severity.WARNING
"""The source that has most events, and a severity that one in some has."""
_TIMES = 5
_ORIGIN_US = 1_767_225_600_000_000
"""Times are added up from here on: a million of them would not fit into 64 bits."""

prepare = queries.prepare


def run(job: Job, directory: Path) -> Outcome:
    """Read the tables, and return the rates."""
    make = factory(job.contender)
    with make(directory / "data") as contender:
        tables: Any = contender
        answers = [
            digest_of_table(tables.table()),
            digest_of_table(tables.table(in_order=False), in_order=False),
            digest_of_table(tables.frame(SOURCE, MIN_SEVERITY)),
        ]
        deque(contender.scan(), maxlen=0)
        quiet()
        figures = {
            "scan_events_per_s": job.events / _seconds(lambda: deque(contender.scan(), maxlen=0)),
            "table_events_per_s": job.events / _seconds(tables.table),
            "any_order_events_per_s": job.events / _seconds(partial(tables.table, in_order=False)),
            "frame_events_per_s": job.events / timed_ms(lambda: tables.frame(SOURCE, MIN_SEVERITY)) * 1000,
        }
        notes = contender.versions() | {"pyarrow": pa.__version__}
    return Outcome(figures=figures, digest=" ".join(answers), notes=notes)


def reference(job: Job) -> str:
    """Return the digests of the right tables."""
    stored = job.workload().stored()
    wanted = [event for event in stored if event.source == SOURCE and event.severity >= MIN_SEVERITY]
    return f"{_digest_of(stored)} {_digest_of(stored, in_order=False)} {_digest_of(wanted)}"


def _seconds(call: Any) -> float:
    times = []
    for _ in range(_TIMES):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return median(times)


def digest_of_table(found: Any, *, in_order: bool = True) -> str:
    """Return the number of rows, and sums of times and of messages, of a table of pyarrow or a frame of
    pandas.

    >>> digest_of_table(pa.table({"time": [1, 2], "message": ["Boot", "Wheel"]}))
    '2 rows, -3534451199999997 us, 9 characters, Boot to Wheel'
    """
    name = (
        "time"
        if "time" in (found.column_names if isinstance(found, pa.Table) else found)
        else "generation_time"
    )
    if isinstance(found, pa.Table):
        times, messages = found[name].cast(pa.int64()), found["message"]
    else:
        column = found[name]
        times = pa.array(column.astype("int64") if column.dtype.kind == "M" else column, pa.int64())
        messages = pa.array(found["message"], pa.string())
    return _words(
        len(messages),
        pc.sum(pc.subtract(times, _ORIGIN_US)).as_py(),
        pc.sum(pc.utf8_length(messages)).as_py(),
        (messages[0].as_py(), messages[-1].as_py()) if in_order else None,
    )


def _digest_of(events: Iterable[Event], *, in_order: bool = True) -> str:
    stored = list(events)
    ends = (stored[0].message, stored[-1].message) if in_order else None
    times = sum((event.generation_time or 0) - _ORIGIN_US for event in stored)
    return _words(len(stored), times, sum(len(event.message) for event in stored), ends)


def _words(rows: int, times: int, characters: int, ends: tuple[str, str] | None) -> str:
    found = f"{rows} rows, {times} us, {characters} characters"
    return found if ends is None else f"{found}, {ends[0]} to {ends[1]}"
