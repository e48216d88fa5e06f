"""The directory of results: ``results.json``, written after every run of a job.

One file may have results of several runs of the harness, if machine, versions and sizes are the same; the
result of a job that is measured again replaces the old one. Other results are refused before the first
measurement, because ratios between them would mean nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.jobs import Job, Result
from benchmarks.measures import NAMES
from benchmarks.plan import FULL, plan
from benchmarks.report import Document, from_json, to_json

FILE = "results.json"


class OtherResultsError(Exception):
    """The directory has results that cannot be combined with the new ones; the text names the differences."""


def opened(directory: Path, fresh: Document) -> Document:
    """Return the document of the directory with the runs of ``fresh``, or ``fresh`` if there is none.

    Raises :class:`OtherResultsError`.

    >>> opened(Path("nosuch"), Document({}, {}, [], [])).results
    []
    """
    path = directory / FILE
    if not path.exists():
        return fresh
    try:
        kept = from_json(path.read_bytes())
    except msgspec.DecodeError as error:
        raise OtherResultsError(f"{path} is not what this harness writes: {error}") from None
    differing = [
        f"{name} was {before.get(name, 'not there')}, is {now.get(name, 'not there')}"
        for before, now in ((kept.machine, fresh.machine), (kept.sizes, fresh.sizes))
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if differing:
        raise OtherResultsError(
            f"{path} has results of other conditions; name another directory: {'; '.join(differing)}"
        )
    return msgspec.structs.replace(kept, runs=[*kept.runs, *fresh.runs])


def merged(document: Document, results: Iterable[Result]) -> Document:
    """Return the document with results added, in the plan's order; each replaces that of the same job.

    >>> job = Job(measure="ingest", case="any", contender="archive", events=1)
    >>> once = merged(Document({}, {}, [], []), [Result(job=job, outcomes=[])])
    >>> len(merged(once, [Result(job=job, outcomes=[], failure="full")]).results)
    1
    """
    found = {_place(result.job): result for result in document.results}
    found |= {_place(result.job): result for result in results}
    ranks = {_place(job): rank for rank, job in enumerate(plan(FULL, yamcs=True, batches=True))}

    def rank(result: Result) -> tuple[int, int]:
        return NAMES.index(result.job.measure), ranks.get(_place(result.job), len(ranks))

    return msgspec.structs.replace(document, results=sorted(found.values(), key=rank))


def missing(document: Document, jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs of all cases in which some contender has no complete and right result.

    A case is measured again as a whole or not at all, so that its contenders always take turns.
    """
    done = {
        _place(result.job)
        for result in document.results
        if result.right and len(result.outcomes) == result.job.repeats
    }
    jobs = list(jobs)
    wanted = {(job.measure, job.case) for job in jobs if _place(job) not in done}
    return [job for job in jobs if (job.measure, job.case) in wanted]


def write(document: Document, directory: Path) -> None:
    """Replace the document atomically, so that a kill leaves the old one or the new one."""
    part = directory / f"{FILE}.part"
    part.write_bytes(to_json(document))
    os.replace(part, directory / FILE)


def _place(job: Job) -> tuple[str, str, str]:
    return job.measure, job.case, job.contender
