"""Runs jobs, each in a process of its own, with contenders in turns, and progress on standard error."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from time import monotonic

import msgspec

from benchmarks import processes
from benchmarks.jobs import Job, Outcome, Result
from benchmarks.measures import module
from benchmarks.workload import Workload

Say = Callable[[str], None]


class _FailedError(Exception):
    """A process ended with an error; its text is the process's own."""


def run_all(jobs: Sequence[Job], scratch: Path, say: Say) -> Iterator[Result]:
    """Run every job its number of times; yield its result so far after each run, so that none is lost.

    The jobs of one measure and case take turns: A B C, A B C. If a run fails, its job is not run again, and
    the others continue. Directories are created below ``scratch`` and removed again.
    """
    began = monotonic()
    references: dict[tuple[str, Workload], str] = {}
    cases = [list(group) for _, group in groupby(jobs, key=lambda job: (job.measure, job.case))]
    for number, case in enumerate(cases, 1):
        minutes = (monotonic() - began) / 60
        say(f"[{number}/{len(cases)}, {minutes:.0f} min] {case[0].measure}, {case[0].case}")
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=scratch.resolve()) as name:
            try:
                expected = _expected(case[0], Path(name), references)  # they differ in contender alone
            except _FailedError as error:
                yield from (Result(job=job, outcomes=[], failure=str(error)) for job in case)
                continue
            yield from _run_case(case, expected, Path(name), say)


def _expected(job: Job, directory: Path, known: dict[tuple[str, Workload], str]) -> str:
    """Return the digest of the right answers; for each workload of a measure it is computed once."""
    key = (job.measure, job.workload())
    if key not in known:
        known[key] = _child("reference", job, directory / "reference").digest
    return known[key]


def _run_case(jobs: Sequence[Job], expected: str, directory: Path, say: Say) -> Iterator[Result]:
    """Run the jobs of one case in turns."""
    results = {job.contender: Result(job=job, outcomes=[], expected_digest=expected) for job in jobs}
    for turn in range(max(job.repeats for job in jobs)):
        for name, result in results.items():
            job = result.job
            if turn >= job.repeats or result.failure:
                continue
            start = monotonic()
            try:
                outcome = _run_once(job, directory / name.replace(" ", "-"), first=turn == 0)
            except _FailedError as error:
                results[name] = msgspec.structs.replace(result, failure=str(error))
                say(f"  {name} FAILED: {error}")
            else:
                results[name] = msgspec.structs.replace(result, outcomes=[*result.outcomes, outcome])
                took_s = monotonic() - start
                say(f"  {turn + 1}/{job.repeats} {name:<16}{_headline(outcome)}  ({took_s:.1f} s)")
                if outcome.digest != expected:
                    say(f"  WRONG ANSWERS from {name}: expected {expected}")
            yield results[name]


def _run_once(job: Job, directory: Path, *, first: bool) -> Outcome:
    """Run a job; its directory is removed, unless it was prepared for all runs."""
    if not hasattr(module(job.measure), "prepare"):
        try:
            return _child("run", job, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)  # an interrupt may come before it is there
    if first:
        _child("prepare", job, directory)
    return _child("run", job, directory)


def _child(action: str, job: Job, directory: Path) -> Outcome:
    """Perform an action with a job in a process of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    result = directory.with_suffix(".json")
    arguments = processes.command("benchmarks.child", action, directory, result)
    _, said, status = processes.run(arguments, msgspec.json.encode(job))
    if status:
        raise _FailedError(said.decode(errors="replace").strip()[-2000:] or f"exit status {status}")
    return msgspec.json.decode(result.read_bytes(), type=Outcome)


def _headline(outcome: Outcome) -> str:
    name, value = next(iter(outcome.figures.items()))
    return f"{value:>14,.1f} {name}"


def by_measure(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the results by the name of their measure, in their order.

    >>> by_measure([])
    {}
    """
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.job.measure, []).append(result)
    return found
