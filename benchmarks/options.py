"""The options of ``python -m benchmarks``."""

from __future__ import annotations

import argparse

from benchmarks.measures import NAMES
from yamcs_archive.cli.arguments import whole

EPILOG = """examples:
  python -m benchmarks --quick                           under two minutes
  python -m benchmarks --yamcs --scale 100 --output DIR  everything
  python -m benchmarks --output DIR --resume             what DIR still lacks
"""
EVENTS_MIN = 100
"""Least number of events of a measurement."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line.

    >>> parser().parse_args(["--quick"]).scale
    0
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the archive beside SQLite, RocksDB, raw LMDB and, when asked to, a Yamcs server,"
        " on the same events. Prints tables, and writes JSON and plots into a directory that it names at the"
        ' end. Needs the extra "bench": python -m pip install ".[bench]".',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, each run once: under two minutes")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=NAMES,
        help="a measure; repeatable; default: all, except for scale, which needs --scale",
    )
    parser.add_argument(
        "--events",
        type=whole(EVENTS_MIN),
        metavar="N",
        help=f"events of the large cases, at least {EVENTS_MIN}, and of the others in proportion; default:"
        " 1000000, quick: 60000",
    )
    parser.add_argument(
        "--repeats", type=whole(1), metavar="N", help="runs of each contender; default: 3, quick: 1"
    )
    parser.add_argument(
        "--scale", type=whole(1), default=0, metavar="N", help="also grow an archive to N million events"
    )
    parser.add_argument(
        "--yamcs",
        action="store_true",
        help="also a real Yamcs server; needs Java 17 or newer, and fetches the server with pip once",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="where results go, beside what is there of the same machine, versions and sizes; default: a new"
        " directory under the current one",
    )
    parser.add_argument(
        "--resume", action="store_true", help="leave out the cases that the output directory already has"
    )
    parser.add_argument(
        "--scratch",
        metavar="DIR",
        help="where the stores are made and removed again, on the disk to be measured; default: the output"
        " directory",
    )
    return parser
