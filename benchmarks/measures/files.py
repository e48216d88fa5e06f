"""Files: all events of an archive at rest to a file, and that file into a new archive; rates, size, memory.

A figure is that of the functions behind ``events export`` and ``events import``, with their fsyncs, and
without the start of a process. Peaks are those of anonymous memory, as in :mod:`benchmarks.measures.memory`.
``encoding`` is the end of the file's name.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from benchmarks.contenders.archive import ArchiveContender
from benchmarks.jobs import Job, Outcome
from benchmarks.measures import queries
from benchmarks.peak import Peak
from benchmarks.timing import quiet
from yamcs_archive import Archive, Event
from yamcs_archive.files.compression import compression_of
from yamcs_archive.files.export import Batch, Kind, write_events
from yamcs_archive.files.forms import form_of
from yamcs_archive.files.part_file import PartFile
from yamcs_archive.files.reading import ReadOptions, Source
from yamcs_archive.importers.file import EventFile, import_events
from yamcs_archive.importers.formats import open_reader
from yamcs_archive.importers.yamcs import Imported

prepare = queries.prepare
_CHECKED_MAX = 2_000_000
"""Largest number of events that are all compared."""


def run(job: Job, directory: Path) -> Outcome:
    """Export and import all events once; the copy and the file are removed."""
    path, copy = directory / f"file.{job.encoding}", directory / "copy"
    form = form_of(path.name)
    assert form is not None
    kind = Kind(form, compression_of(path.name))
    with ArchiveContender(directory / "data") as contender:
        notes = contender.versions()
    quiet()
    with Archive.open(directory / "data" / "archive", readonly=True) as archive:
        [name] = archive.instances()
        instance = archive.instance(name)
        start = perf_counter()
        with Peak() as writing, PartFile(path, {}) as part:
            batches = (Batch(events, None) for events in instance.event_vectors())
            write_events(batches, kind, part, checkpoint=part.checkpoint if kind.is_appendable else None)
            part.finish()
        export_s = perf_counter() - start
    size_bytes = path.stat().st_size
    quiet()
    start = perf_counter()
    with Peak() as reading, Archive.open(copy) as archive, path.open("rb") as stream:
        target = archive.instance(name, create=True)
        file = EventFile(open_reader(form, Source(stream, path.name, path), ReadOptions()))
        import_events(file, lambda part: target.append_columns([part]), Imported())
    import_s = perf_counter() - start
    with Archive.open(copy, readonly=True) as archive:
        found = archive.instance(name)
        digest = f"{found.count()} events" if job.events > _CHECKED_MAX else digest_of(found.events())
    shutil.rmtree(copy)
    path.unlink()
    return Outcome(
        figures={
            "export_events_per_s": job.events / export_s,
            "import_events_per_s": job.events / import_s,
            "bytes_per_event": size_bytes / job.events,
            "export_mib": writing.peak_bytes / 2**20,
            "import_mib": reading.peak_bytes / 2**20,
        },
        digest=digest,
        notes=notes,
    )


def digest_of(events: Iterable[Event]) -> str:
    """Return the number of events, and a checksum of their keys and messages, in their order.

    >>> digest_of([Event("Wheel", source="S", generation_time=1, seq_number=2)])
    '1 events, df455750'
    """
    count = checksum = 0
    for event in events:
        count += 1
        checksum = zlib.crc32(f"{event.key}{event.message}".encode(), checksum)
    return f"{count} events, {checksum:08x}"


def reference(job: Job) -> str:
    """Return the digest of all events; of more than fit into memory their number."""
    if job.events > _CHECKED_MAX:
        return f"{job.events} events"
    return digest_of(job.workload().stored())
