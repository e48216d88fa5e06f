"""Scaling: one archive grows to many millions of events; the time of every million, and of queries meanwhile.

Rates count the appends and, once each million, the time to settle. Events are made slab by slab between the
appends, while the clock is stopped.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.contenders import factory
from benchmarks.contenders.base import Contender, allocated_bytes
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.measures.ingest import cut
from benchmarks.measures.queries import PAGE_EVENTS, QUESTIONS, asked_once, timed_ms
from benchmarks.peak import Peak
from benchmarks.reference import Reference
from benchmarks.workload import RARE_SEVERITY, RARE_SOURCE, SLAB_EVENTS
from yamcs_archive import Event

MILLION = 1_000_000
_QUESTIONS = ("newest_100_ms", "rare_source_ms", "rare_severity_ms", "absent_source_ms")


def run(job: Job, directory: Path) -> Outcome:
    """Append the workload, and make the queries at each mark; return the last figures and their series.

    The figures are those of the last mark. The digest is that of the answers there, because a scan of 100
    million events would take longer than the run.
    """
    data = directory / "data"
    marks = _marks(job.events)
    step = min(MILLION, job.events)
    series: dict[str, list[float]] = {"rate_millions": [], "events_per_s": [], "mark_millions": []}
    spent_s, since_s, appended, answer = 0.0, 0.0, 0, ""
    with Peak() as peak:
        contender = factory(job.contender)(data)
        try:
            for slab in job.workload().slabs():
                for batch in cut(slab, job.batch_events):
                    ready = contender.ready(batch)
                    start = perf_counter()
                    contender.append(ready)
                    since_s += perf_counter() - start
                appended += len(slab)
                if appended % step == 0:
                    start = perf_counter()
                    contender.settle()
                    since_s += perf_counter() - start
                    series["rate_millions"].append(appended / MILLION)
                    series["events_per_s"].append(step / since_s)
                    spent_s, since_s = spent_s + since_s, 0.0
                if appended in marks:
                    contender.close()
                    size_bytes = allocated_bytes(data)
                    start = perf_counter()
                    contender = factory(job.contender)(data)
                    contender.newest(1)
                    _note(series, appended, (perf_counter() - start) * 1000, size_bytes)
                    answer = _ask(contender, series)
            notes = contender.versions() | {"durability": contender.durability}
        finally:
            contender.close()
    last = {figure: values[-1] for figure, values in series.items() if not figure.endswith("_millions")}
    first = {f"first_{figure}": series[figure][0] for figure in _QUESTIONS}
    rates = series["events_per_s"]
    ratio = {"last_to_second": rates[-1] / rates[1]} if len(rates) > 2 else {}
    return Outcome(
        figures=last | first | ratio | {"ingest_s": spent_s, "peak_mib": peak.peak_bytes / 2**20},
        digest=answer,
        series=series,
        notes=notes,
    )


def reference(job: Job) -> str:
    """Return the digests of the right answers; only the events that they may need are made."""
    tails = [deque[Event](maxlen=PAGE_EVENTS) for _ in range(3)]
    needed = PAGE_EVENTS * job.rare_every
    for slab in job.workload().slabs(skip=max(0, job.events - needed) // SLAB_EVENTS * SLAB_EVENTS):
        tails[0] += slab[-PAGE_EVENTS:]
        tails[1] += [event for event in slab if event.source == RARE_SOURCE]
        tails[2] += [event for event in slab if event.severity >= RARE_SEVERITY]
    store = Reference(event for tail in tails for event in tail)
    return " ".join(digest(QUESTIONS[figure](store)) for figure in _QUESTIONS)


def _marks(events: int) -> set[int]:
    """Return the sizes at which to make the queries: 1, 2, 5, 10, 20, 50 … million, and the end."""
    steps = {MILLION * first * 10**power for first in (1, 2, 5) for power in range(4)}
    return {step for step in steps if step < events} | {events}


def _note(series: dict[str, list[float]], appended: int, open_ms: float, size_bytes: int) -> None:
    series["mark_millions"].append(appended / MILLION)
    series.setdefault("open_ms", []).append(open_ms)
    series.setdefault("bytes_per_event", []).append(size_bytes / appended)


def _ask(contender: Contender[Any], series: dict[str, list[float]]) -> str:
    """Make all queries, record the times, and return the digests of the answers."""
    answers = []
    for figure in _QUESTIONS:
        figures: dict[str, float] = {}
        answers.append(asked_once(contender, figure, figures))
        figures[figure] = timed_ms(partial(QUESTIONS[figure], contender))
        for name, taken_ms in figures.items():
            series.setdefault(name, []).append(taken_ms)
    return " ".join(answers)
