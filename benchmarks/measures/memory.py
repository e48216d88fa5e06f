"""Peak memory of a process that appends and then scans, with messages of 1 MiB among the events.

Counted is anonymous memory (RssAnon), the interpreter and the harness's own slab of 10,000 events included;
pages of mapped files are not, since the kernel takes those back whenever it likes.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders import factory
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.measures.ingest import cut
from benchmarks.peak import Peak


def reference(job: Job) -> str:
    """Return the digest of what is stored when everything was appended."""
    return digest(job.workload().stored())


def run(job: Job, directory: Path) -> Outcome:
    """Append slab by slab, scan, and return the peak and what the process had before, in MiB."""
    with Peak() as peak, factory(job.contender)(directory / "data") as contender:
        for slab in job.workload().slabs():
            for batch in cut(slab, job.batch_events):
                contender.append(contender.ready(batch))
        contender.settle()
        answer = digest(contender.scan())
        notes = contender.versions()
    return Outcome(
        figures={"peak_mib": peak.peak_bytes / 2**20, "before_mib": peak.start_bytes / 2**20},
        digest=answer,
        notes=notes,
    )
