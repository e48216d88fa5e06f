"""HTTP: single events and batches are posted over keep-alive connections, and answered when they are durable.

The load generator measures the time from its first counted request to the last answer. Then the server is
stopped and the store opened; the time until all events are in their final stored form counts in the rates
too. The digest is that of a full scan.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter_ns

import msgspec

from benchmarks import processes
from benchmarks.contenders import factory, yamcs
from benchmarks.contenders.archive import INSTANCE
from benchmarks.contenders.base import allocated_bytes
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.load import Report
from benchmarks.servers import serving
from benchmarks.timing import latency_figures
from yamcs_archive.http.routes import find
from yamcs_archive.server.settings import SETTINGS, Settings

_LOAD_S_MAX = 900


def run(job: Job, directory: Path) -> Outcome:
    """Post the job's workload and return requests/s, events/s and the latency of each request."""
    if job.contender == "yamcs":
        return _run_yamcs(job, directory)
    data = directory / "data"
    with factory(job.contender)(data) as contender:  # created here, so that the server finds it
        notes = contender.versions() | {"server": _server(job)}
        contender.settle()
    with serving(job.contender, data, wsgi=job.wsgi) as port:
        report = load(job, port, path(job, INSTANCE))
    with factory(job.contender)(data) as contender:
        start_ns = perf_counter_ns()
        contender.settle()
        settle_ns = perf_counter_ns() - start_ns
        return Outcome(figures=figures(job, report, settle_ns), digest=digest(contender.scan()), notes=notes)


def _server(job: Job) -> str:
    """Return the server, and the settings that the environment gives it.

    So ``YAMCS_ARCHIVE_ACCESS_LOG=1 YAMCS_ARCHIVE_LOG_FILE=/tmp/log`` measures the access log, and cannot be
    left set unnoticed.
    """
    server = f"uvicorn, WSGI, {Settings.threads} threads" if job.wsgi else "uvicorn, ASGI"
    given = [f"{each.name}={os.environ[each.variable]}" for each in SETTINGS if os.environ.get(each.variable)]
    return ", ".join([server, *given]) if job.contender == "archive" else server


def _run_yamcs(job: Job, directory: Path) -> Outcome:
    """Do the same with a Yamcs server, which must run while it is read; sizes are those after compaction."""
    with yamcs.serving(directory) as port:
        rows = job.encoding == "rows"
        report = load(job, port, yamcs.ROWS_PATH if rows else path(job, yamcs.INSTANCE))
        answer = digest(yamcs.scan(port))
        yamcs.compact(port)
    size = {"bytes_per_event": allocated_bytes(directory / "data") / job.events}
    return Outcome(figures=figures(job, report) | size, digest=answer, notes=yamcs.versions())


def batch_is_served() -> bool:
    """Return whether the server has a route for batches."""
    return bool(find(f"/api/archive/{INSTANCE}/events:batch")[0])


def reference(job: Job) -> str:
    """Return the digest of the stored events after all requests."""
    return digest(job.workload().stored())


def path(job: Job, instance: str) -> str:
    """Return the path for the job's requests.

    >>> path(Job(measure="http", case="", contender="archive", events=1, batch_events=1), "sim")
    '/api/archive/sim/events'
    """
    return f"/api/archive/{instance}/events" + ("" if job.batch_events == 1 else ":batch")


def load(job: Job, port: int, path: str) -> Report:
    """Run the load generator in a process of its own; RuntimeError with its output if it fails."""
    arguments = processes.command("benchmarks.load", port, path)
    printed, said, status = processes.run(arguments, msgspec.json.encode(job), timeout_s=_LOAD_S_MAX)
    if status:
        raise RuntimeError(f"{job.label()}: {said.decode(errors='replace').strip()[-2000:]}")
    return msgspec.json.decode(printed, type=Report)


def figures(job: Job, report: Report, settle_ns: int = 0) -> dict[str, float]:
    """Return the figures of a load; ``settle_ns`` is the time that the store took to settle after it."""
    elapsed_ns = report.elapsed_ns + settle_ns
    requests_per_s = len(report.latencies_ns) / elapsed_ns * 1e9
    events = job.events - job.warm_up * job.batch_events
    return {
        "requests_per_s": requests_per_s,
        "events_per_s": events / elapsed_ns * 1e9,
        **latency_figures(report.latencies_ns),
    }
