"""Queries of an archive at rest: opening, full scan, pages, rare events, text.

The store is filled once for each contender. Each run is a new process that opens it, with its files in the
page cache. A page or a search is repeated several times, the first time uncounted; for rare events the first
time has a figure of its own. The time of opening ends when the newest event has been read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.contenders import factory
from benchmarks.contenders.base import Questioned
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.measures.ingest import cut
from benchmarks.reference import Reference
from benchmarks.timing import percentile, quiet
from benchmarks.workload import ABSENT_SOURCE, ABSENT_TEXT, RARE_SEVERITY, RARE_SOURCE, SLAB_EVENTS
from yamcs_archive import Event

PAGE_EVENTS = 100
_TIMES_MAX = 20
_SECONDS_MAX = 2.0

Question = Callable[[Questioned], list[Event]]

QUESTIONS: dict[str, Question] = {
    "newest_100_ms": lambda store: store.newest(PAGE_EVENTS),
    "rare_source_ms": lambda store: store.newest(PAGE_EVENTS, source=RARE_SOURCE),
    "rare_severity_ms": lambda store: store.newest(PAGE_EVENTS, min_severity=RARE_SEVERITY),
    "absent_source_ms": lambda store: store.newest(PAGE_EVENTS, source=ABSENT_SOURCE),
    "absent_text_ms": lambda store: store.find_text(ABSENT_TEXT),
}
"""The queries, by the name of their figure. Those for absent events find none; the others find some."""
ONCE = {"rare_source_ms": "rare_source_once_ms", "rare_severity_ms": "rare_severity_once_ms"}
"""The figures of the first time that a query is made, by those of the times after it: answers may be kept."""


def prepare(job: Job, directory: Path) -> None:
    """Fill the contender's store with the job's workload, and compact it."""
    with factory(job.contender)(directory / "data") as contender:
        for slab in job.workload().slabs():
            for batch in cut(slab, SLAB_EVENTS):
                contender.append(contender.ready(batch))
        contender.settle()
        contender.rest()


def run(job: Job, directory: Path) -> Outcome:
    """Make all queries and return the times; the digest covers every answer."""
    make = factory(job.contender)
    quiet()
    start = perf_counter()
    with make(directory / "data") as contender:
        newest = contender.newest(1)
        figures = {"open_ms": (perf_counter() - start) * 1000}
        start = perf_counter()
        deque(contender.scan(), maxlen=0)
        figures["scan_events_per_s"] = job.events / (perf_counter() - start)
        answers = [digest(newest), digest(contender.scan())]
        for figure, question in QUESTIONS.items():
            answers.append(asked_once(contender, figure, figures))
            figures[figure] = timed_ms(partial(question, contender))
        figures["absent_text_events_per_s"] = job.events / figures["absent_text_ms"] * 1000
        notes = contender.versions()
    return Outcome(figures=figures, digest=" ".join(answers), notes=notes)


def reference(job: Job) -> str:
    """Return the digests of the right answers, computed from all events."""
    store = Reference(job.workload().events())
    return " ".join([digest(store.newest(1)), *_answers(store)])


def asked_once(store: Questioned, figure: str, figures: dict[str, float]) -> str:
    """Make a query for the first time, note how long it took if that is a figure, and return the digest."""
    start = perf_counter()
    answer = QUESTIONS[figure](store)
    if figure in ONCE:
        figures[ONCE[figure]] = (perf_counter() - start) * 1000
    return digest(answer)


def _answers(store: Questioned) -> list[str]:
    return [digest(store.scan()), *(digest(question(store)) for question in QUESTIONS.values())]


def timed_ms(call: Callable[[], object]) -> float:
    """Return the median time of a call in milliseconds, from up to 20 calls or 2 seconds.

    >>> timed_ms(int) < 1000
    True
    """
    times_ms: list[float] = []
    while len(times_ms) < _TIMES_MAX and sum(times_ms) < _SECONDS_MAX * 1000:
        start = perf_counter()
        call()
        times_ms.append((perf_counter() - start) * 1000)
    return percentile(times_ms, 0.5)
