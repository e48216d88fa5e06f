"""``python -m benchmarks``: measure, print the tables, write JSON and plots."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from benchmarks.contenders import missing_package
from benchmarks.machine import describe
from benchmarks.measures import NAMES
from benchmarks.measures.http import batch_is_served
from benchmarks.plan import FULL, QUICK, plan
from benchmarks.report import Document, to_json, to_text
from benchmarks.runner import run_all


def main(arguments: list[str] | None = None) -> int:
    """Run the harness; return 0, or 1 when a run failed or answered wrongly."""
    options = _parser().parse_args(arguments)
    scratch = Path(options.scratch)
    if options.output:
        Path(options.output).mkdir(parents=True, exist_ok=True)  # a bad place shows now, not after hours
    sizes = QUICK if options.quick else FULL
    jobs = plan(
        replace(sizes, repeats=options.repeats or sizes.repeats),
        options.only,
        scale_millions=options.scale,
        yamcs=options.yamcs,
        batches=batch_is_served(),
    )
    absent = {job.contender: package for job in jobs if (package := missing_package(job.contender))}
    for contender, package in absent.items():
        _say(f"{contender} is left out: {package} is not installed (pip install '.[bench]')")
    command = shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if arguments is None else arguments)])
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    document = Document(describe(scratch), taken, command, [])
    for result in run_all([job for job in jobs if job.contender not in absent], scratch, _say):
        document.results.append(result)
        if options.output:  # after each one: a run of hours may be cut short
            (Path(options.output) / "results.json").write_bytes(to_json(document))
    print(to_text(document), end="")
    if options.output:
        _draw(document, Path(options.output))
    return 0 if all(result.right for result in document.results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the archive beside what a user would take instead."
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one run each: under two minutes")
    parser.add_argument(
        "--only", action="append", default=[], choices=NAMES, help="a measure; may be repeated"
    )
    parser.add_argument(
        "--scale", type=int, default=0, metavar="N", help="also grow an archive to N million events"
    )
    parser.add_argument(
        "--yamcs", action="store_true", help="also a real Yamcs server (needs Java 17 or newer)"
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", help="runs of each contender (default: 5, quick: 1)"
    )
    parser.add_argument("--output", metavar="DIR", help="write results.json and the plots there")
    parser.add_argument(
        "--scratch", metavar="DIR", default=tempfile.gettempdir(),
        help="where the stores are made and removed again; a real disk (default: %(default)s)",
    )  # fmt: skip
    return parser


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
