"""``python -m benchmarks``: measure, print the tables, write JSON and plots."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from benchmarks import keep
from benchmarks.contenders import missing_package, yamcs
from benchmarks.jobs import Job
from benchmarks.machine import circumstances, describe, is_in_memory
from benchmarks.measures.http import batch_is_served
from benchmarks.options import parser
from benchmarks.plan import FULL, QUICK, QUICK_REPEATS, REPEATS, Sizes, plan
from benchmarks.processes import ending_tidily
from benchmarks.report import Document, Run, to_text
from benchmarks.runner import run_all

_FAILED, _MISUSED, _INTERRUPTED = 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Measure, as the command line says, and return the exit status.

    The status is 0; 1 if a run failed or gave wrong answers, or nothing could be measured; 2 if the options
    are contradictory; 130 if Ctrl-C or SIGTERM interrupted it. Results are kept after an interrupt too.
    """
    options = parser().parse_args(arguments)
    sizes = _sizes(options)
    jobs = _jobs(options, sizes)
    if not jobs:
        _say("nothing to measure: --only scale needs --scale N")
        return _MISUSED
    taken = datetime.now(UTC)
    output = Path(options.output or f"bench-{taken:%Y%m%d-%H%M%S}").resolve()
    scratch = Path(options.scratch).resolve() if options.scratch else output
    for place in (output, scratch):
        place.mkdir(parents=True, exist_ok=True)  # a bad directory must show now, not after an hour
    if is_in_memory(scratch):
        _say(f"{scratch} is in memory, where a sync costs nothing: name a directory on a disk with --scratch")
    try:
        if options.yamcs:
            yamcs.fetch()
        begun = Run(taken.isoformat(timespec="seconds"), _command(options), circumstances(scratch))
        document = keep.opened(output, Document(describe(scratch), asdict(sizes), [begun], []))
    except (keep.OtherResultsError, RuntimeError) as error:
        _say(str(error))
        return _FAILED
    if options.resume:
        jobs = keep.missing(document, jobs)
    return _measured(jobs, document, output, scratch)


def _measured(jobs: list[Job], document: Document, output: Path, scratch: Path) -> int:
    """Run the jobs, write each result at once, then print all; return the exit status."""
    interrupted = False
    try:
        with ending_tidily():
            for result in run_all(jobs, scratch, _say):
                document = keep.merged(document, [result])
                keep.write(document, output)
    except KeyboardInterrupt:
        interrupted = True
    print(to_text(document), end="", flush=True)
    if not interrupted:
        _draw(document, output)
    _say(f"{'Interrupted; what was measured is' if interrupted else 'The results are'} in {output}")
    right = all(result.right for result in document.results)
    return _INTERRUPTED if interrupted else 0 if right else _FAILED


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = QUICK if options.quick else FULL
    return sizes.scaled(options.events) if options.events else sizes


def _jobs(options: argparse.Namespace, sizes: Sizes) -> list[Job]:
    """Return the plan without the jobs that lack a package; print the name of each such package once."""
    jobs = plan(
        sizes,
        options.only,
        repeats=options.repeats or (QUICK_REPEATS if options.quick else REPEATS),
        scale_millions=options.scale,
        yamcs=options.yamcs,
        batches=batch_is_served(),
    )
    absent = {job: package for job in jobs if (package := missing_package(job))}
    for package in dict.fromkeys(absent.values()):
        without = dict.fromkeys(
            f"{job.measure} of {job.contender}" for job, missed in absent.items() if missed == package
        )
        _say(f"{package} is not installed (pip install '.[bench]'), left out: {', '.join(without)}")
    return [job for job in jobs if job not in absent]


def _command(options: argparse.Namespace) -> str:
    """Return the command line with these options."""
    parts = ["python", "-m", "benchmarks"]
    for name, value in sorted(vars(options).items()):
        if name in ("output", "scratch"):  # paths of one machine do not belong into published results
            continue
        match value:
            case True:
                parts.append(f"--{name}")
            case list():
                parts += [part for each in value for part in (f"--{name}", each)]
            case str() | int() if value:
                parts += [f"--{name}", str(value)]
    return shlex.join(parts)


def _draw(document: Document, directory: Path) -> None:
    if find_spec("matplotlib") is None:
        _say("no plots: matplotlib is not installed (pip install '.[bench]')")
        return
    from benchmarks.plots import draw  # noqa: PLC0415  # matplotlib is optional

    draw(document, directory)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
