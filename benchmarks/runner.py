"""Runs jobs: each in a process of its own, contenders taking turns, with progress on standard error."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from time import monotonic

import msgspec

from benchmarks.jobs import Job, Outcome, Result
from benchmarks.measures import module

Say = Callable[[str], None]
_ROOT = Path(__file__).parent.parent


class _FailedError(Exception):
    """A run ended with an error; its text is what the run said."""


def run_all(jobs: Sequence[Job], scratch: Path, say: Say) -> Iterator[Result]:
    """Run every job as often as it asks, and yield the results in the order of the jobs, case by case.

    The jobs of one measure and case take turns: A B C, A B C. A job whose run fails is not run again, and
    the others go on. Directories are made below ``scratch`` and removed again.
    """
    for (measure, case), group in groupby(jobs, key=lambda job: (job.measure, job.case)):
        turn = list(group)
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=scratch) as name:
            say(f"{measure}, {case}")
            results = _run_case(turn, Path(name), say)
        yield from results


def _run_case(jobs: Sequence[Job], directory: Path, say: Say) -> list[Result]:
    """Run the jobs of one case in turns."""
    outcomes: dict[str, list[Outcome]] = {job.contender: [] for job in jobs}
    failures: dict[str, str] = {}
    for turn in range(max(job.repeats for job in jobs)):
        for job in jobs:
            name = job.contender
            if turn < job.repeats and name not in failures:
                start = monotonic()
                try:
                    outcome = _run_once(job, directory / name.replace(" ", "-"), first=turn == 0)
                except _FailedError as error:
                    failures[name] = str(error)
                    say(f"  {name} FAILED: {error}")
                    continue
                outcomes[name].append(outcome)
                took_s = monotonic() - start
                say(f"  {turn + 1}/{job.repeats} {name:<16}{_headline(outcome)}  ({took_s:.1f} s)")
    expected = _child("reference", jobs[0], directory / "reference").digest  # they differ in contender alone
    results = [
        Result(
            job=job,
            outcomes=outcomes[job.contender],
            expected_digest=expected,
            failure=failures.get(job.contender, ""),
        )
        for job in jobs
    ]
    for result in results:
        if not (result.right or result.failure):
            say(f"  WRONG ANSWERS from {result.job.contender}: expected {expected}")
    return results


def _run_once(job: Job, directory: Path, *, first: bool) -> Outcome:
    """Run a job; what it leaves is removed, unless it was prepared for all runs."""
    if not hasattr(module(job.measure), "prepare"):
        try:
            return _child("run", job, directory)
        finally:
            shutil.rmtree(directory)
    if first:
        _child("prepare", job, directory)
    return _child("run", job, directory)


def _child(action: str, job: Job, directory: Path) -> Outcome:
    """Do something with a job in a process of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    result = directory.with_suffix(".json")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", action, str(directory), str(result)],
        input=msgspec.json.encode(job),
        stderr=subprocess.PIPE,
        cwd=_ROOT,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise _FailedError(said[-2000:] or f"exit status {done.returncode}")
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
