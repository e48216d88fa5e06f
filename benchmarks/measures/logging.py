"""Logging: the time that a call takes in the thread that logs, with one handler after another.

``null`` handles nothing, so the time is that of the call itself: a contender costs what it takes beyond that.
``queue`` is the standard library's QueueHandler, with a QueueListener that hands the records to nothing;
``file`` its FileHandler, which syncs nothing; ``archive`` the handler of this project, for a directory. Only
with that last one is a record durable.

In a loop without pauses the thread that stores has as much to do as the one that logs, and they share the
interpreter: the mean has that in it. At a thousand calls a second there are pauses. ``cpu_us`` is processor
time of the thread that logs, which other programs on the machine do not change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter, perf_counter_ns, sleep, thread_time

from benchmarks.jobs import Job, Outcome
from benchmarks.timing import latency_figures, quiet
from yamcs_archive import Archive
from yamcs_archive.logging import ArchiveHandler

PACED = "1,000 calls a second"
"""The case with pauses."""
_PERIOD_S = 0.001
_WARM_UP_CALLS = 200
_INSTANCE = "sim"
_DURABILITY = {
    "null": "nothing is kept",
    "queue": "in memory",
    "file": "written, not synced",
    "archive": "fsync of each group, ten times a second",
}

Arrived = Callable[[], int]
"""Returns the number of records that have arrived, once the handler is closed."""


def run(job: Job, directory: Path) -> Outcome:
    """Log the messages of the workload, and return the times of the calls."""
    messages = [event.message for event in job.workload().events()]
    log = logging.Logger("benchmark", logging.INFO)
    with _handler(job.contender, directory) as (handler, arrived):
        log.addHandler(handler)
        for message in messages[:_WARM_UP_CALLS]:
            log.info("%s", message)
        handler.flush()
        quiet()
        begun_s, begun_cpu_s = perf_counter(), thread_time()
        calls_ns = list(_calls(log, messages, _PERIOD_S if job.case == PACED else 0))
        cpu_s, wall_s = thread_time() - begun_cpu_s, perf_counter() - begun_s
        handler.flush()
        flushed_s = perf_counter() - begun_s
    figures = {
        "call_us_mean": sum(calls_ns) / len(calls_ns) / 1000,
        **{name.replace("latency", "call"): value for name, value in latency_figures(calls_ns).items()},
        "cpu_us": cpu_s / len(messages) * 1e6,
        "flush_s": flushed_s - wall_s,
    }
    warm_up = min(_WARM_UP_CALLS, len(messages))
    return Outcome(
        figures=figures, digest=str(arrived() - warm_up), notes={"durability": _DURABILITY[job.contender]}
    )


def reference(job: Job) -> str:
    """Return the number of records."""
    return str(job.events)


def _calls(log: logging.Logger, messages: list[str], period_s: float) -> Iterator[int]:
    """Log each message, with so much time between two calls, and yield how long each took, in ns."""
    due_s = perf_counter()
    for number, message in enumerate(messages):
        start_ns = perf_counter_ns()
        log.info("%s, message %d", message, number)
        yield perf_counter_ns() - start_ns
        if period_s:
            due_s += period_s
            sleep(max(0.0, due_s - perf_counter()))


class _Counting(logging.NullHandler):
    """Counts the records, and does nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.records = 0

    def handle(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        self.records += 1
        return True


@contextmanager
def _handler(contender: str, directory: Path) -> Iterator[tuple[logging.Handler, Arrived]]:
    """Make a handler, and close it; then the function tells what has arrived."""
    counting = _Counting()
    if contender == "null":
        yield counting, lambda: counting.records
    elif contender == "queue":
        records: SimpleQueue[logging.LogRecord] = SimpleQueue()
        listener = QueueListener(records, counting)
        listener.start()
        yield QueueHandler(records), lambda: counting.records
        listener.stop()
    elif contender == "file":
        path = directory / "log"
        file = logging.FileHandler(path)
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        yield file, lambda: path.read_bytes().count(b"\n")
        file.close()
    else:
        handler = ArchiveHandler(_INSTANCE, path=directory / "data", flush_s=600)
        yield handler, lambda: _stored(directory / "data")
        handler.close()


def _stored(path: Path) -> int:
    with Archive.open(path) as archive:
        return archive.instance(_INSTANCE).count()
