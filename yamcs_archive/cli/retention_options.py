"""The options of ``prune`` that say which events are kept."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.arguments import whole
from yamcs_archive.limits import KEEP_DAYS_MAX

_COUNT_MAX = 2**63 - 1
"""The largest number that the library takes."""


def add_retention(parser: argparse.ArgumentParser, *, what: str) -> None:
    """Add the rules of retention; ``what`` begins their help."""
    parser.add_argument(
        "--keep-days",
        metavar="N",
        type=whole(1, KEEP_DAYS_MAX),
        help=f"{what} events generated more than N days ago, by the archive's clock",
    )
    parser.add_argument(
        "--max-bytes",
        metavar="N",
        type=whole(1, _COUNT_MAX),
        help=f"{what} the oldest events beyond about N bytes of events",
    )
    parser.add_argument(
        "--max-events", metavar="N", type=whole(1, _COUNT_MAX), help=f"{what} the oldest events beyond N"
    )
