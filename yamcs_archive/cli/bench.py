"""``bench``: measure this archive on the machine at hand, by the harness that comes with the package.

The options stand here, not in the harness, because help and the reference page must not load it; the
harness takes them from here. Its folder ``benchmarks`` lies beside the package in a checkout and inside
the package's folder ``harness`` when installed: a package of that name among everybody's would be in the
way of others.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from yamcs_archive.cli.arguments import whole
from yamcs_archive.cli.missing_packages import advice
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.errors import ArchiveError

EPILOG = """examples:
  yamcs-archive bench --quick                           under two minutes
  yamcs-archive bench --yamcs --scale 100 --output DIR  everything
  yamcs-archive bench --output DIR --resume             what DIR still lacks
"""
MEASURES = ("ingest", "queries", "memory", "serving", "http", "reading", "scale")
"""What the harness can measure; its modules have these names."""
NEEDED = ("granian", "matplotlib", "rocksdict", "uvloop")
"""What the extra ``bench`` brings."""
EVENTS_MIN = 100
"""Fewer measure nothing."""
_PACKAGE = Path(__file__).parent.parent
_PLACES = (_PACKAGE / "harness", _PACKAGE.parent)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "bench",
        help="measure the archive on this machine",
        description="Measure this archive beside SQLite, RocksDB, raw LMDB and, when asked to, a Yamcs"
        " server, on the same events. Prints tables, and writes JSON and plots into a directory that it"
        ' names at the end. Needs the extra "bench": python -m pip install ".[bench]", in a checkout.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the harness's options.

    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser)
    >>> parser.parse_args(["--quick"]).scale
    0
    """
    parser.add_argument("--quick", action="store_true", help="small sizes, each run once: under two minutes")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=MEASURES,
        help="a measure; repeatable; default: all, but scale only with --scale",
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


def run(options: argparse.Namespace) -> int:
    """Start the harness, unless what it needs is not installed."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        complain(f"bench needs {', '.join(absent)}; {advice('bench')}")
        return 1
    place = next((place for place in _PLACES if (place / "benchmarks" / "__main__.py").is_file()), None)
    if place is None:
        raise ArchiveError("this installation came without the harness")
    sys.path.insert(0, str(place))
    status: int = import_module("benchmarks.__main__").run(options, "yamcs-archive bench")
    return status
