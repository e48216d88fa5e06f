"""``events count``: the number of events."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.query_options import add_query_options, chosen_events
from yamcs_archive.cli.target import add_target_options, open_target

EPILOG = """examples:
  yamcs-archive events count --data ops-data
  yamcs-archive events count --data ops-data --since 1d --severity warning
  yamcs-archive events count --url http://127.0.0.1:8090 --source AOCS --filter 'wheel -test'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Print how many events there are, or how many the options choose: as many as events log --lines all"
        " shows."
        " The number of all events, or of all of some sources, is known without reading any."
    )
    parser.epilog = EPILOG
    add_target_options(parser)
    add_query_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the number."""
    with open_target(options, readonly=True) as target, Progress(f"{target.name}: counting"):
        found = target.count(**chosen_events(options, target))
    print(found)
    return 0
