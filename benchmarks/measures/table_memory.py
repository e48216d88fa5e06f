"""Peak memory of a process that reads all events of a large archive as record batches, and writes them to
Parquet.

It is that of anonymous memory, as in :mod:`benchmarks.measures.memory`, and includes pyarrow. The archive is
filled before, in a process of its own.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pyarrow.parquet as pq

from benchmarks.contenders.archive import ArchiveContender
from benchmarks.jobs import Job, Outcome
from benchmarks.measures import queries
from benchmarks.peak import Peak
from benchmarks.timing import quiet

prepare = queries.prepare


def run(job: Job, directory: Path) -> Outcome:
    """Read and write all events, and return the peaks in MiB."""
    path = directory / "day.parquet"
    with ArchiveContender(directory / "data") as contender:
        quiet()
        start = perf_counter()
        with Peak() as streaming:
            events = sum(batch.num_rows for batch in contender.stream())
        middle = perf_counter()
        with Peak() as writing:
            contender.to_parquet(path)
        stop = perf_counter()
        notes = contender.versions()
    written = pq.ParquetFile(path).metadata.num_rows
    size_bytes = path.stat().st_size
    path.unlink()
    return Outcome(
        figures={
            "stream_mib": streaming.peak_bytes / 2**20,
            "parquet_mib": writing.peak_bytes / 2**20,
            "before_mib": streaming.start_bytes / 2**20,
            "stream_events_per_s": job.events / (middle - start),
            "parquet_events_per_s": job.events / (stop - middle),
            "parquet_bytes_per_event": size_bytes / job.events,
        },
        digest=f"{events} {written}",
        notes=notes,
    )


def reference(job: Job) -> str:
    """Return the numbers of events that both must have."""
    return f"{job.events} {job.events}"
