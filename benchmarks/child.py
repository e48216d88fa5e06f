"""Runs one job in this process: ``python -m benchmarks.child ACTION DIRECTORY RESULT < job.json``.

The action is ``run``, ``prepare`` or ``reference``; the outcome is written to the file RESULT, as JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from benchmarks.jobs import Job, Outcome
from benchmarks.measures import module
from benchmarks.processes import ending_tidily


def main(action: str, directory: str, result: str) -> None:
    """Perform the action with the job on standard input, and write the outcome to the file ``result``."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    measure = module(job.measure)
    outcome = Outcome(figures={})
    if action == "prepare":
        measure.prepare(job, Path(directory))
    elif action == "reference":
        outcome = Outcome(figures={}, digest=measure.reference(job))
    else:
        outcome = measure.run(job, Path(directory))
    Path(result).write_bytes(msgspec.json.encode(outcome))


if __name__ == "__main__":
    with ending_tidily():
        main(*sys.argv[1:])
