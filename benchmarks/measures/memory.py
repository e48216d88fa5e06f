"""Peak memory of a process that appends and then scans, with messages of 1 MiB among the events.

It is that of anonymous memory (RssAnon), and includes the interpreter and the harness's own slab of 10,000
events. It does not include pages of mapped files, because the kernel can reclaim those at any time.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.contenders import factory
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.measures.ingest import cut
from benchmarks.peak import Peak


def reference(job: Job) -> str:
    """Return the digest of the stored events after all appends."""
    return digest(job.workload().stored())


def run(job: Job, directory: Path) -> Outcome:
    """Append slab by slab, scan, and return the peak, and the memory before the first event, in MiB."""
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
