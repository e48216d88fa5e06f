"""``instances list``: list the instances of an archive."""

from __future__ import annotations

import argparse
from pathlib import Path

from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.target import add_target_options, chosen_target, open_existing, served

EPILOG = """examples:
  yamcs-archive instances list --data ops-data
  yamcs-archive instances list --url http://127.0.0.1:8090
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = "List the instances, sorted, one per line."
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the names."""
    where = chosen_target(options)
    if isinstance(where, Path):
        refuse_credentials(options)
        with open_existing(where, readonly=True) as archive:
            names = archive.instances()
    else:
        with served(options, where) as client:
            names = client.instances()
    for name in names:
        print(name)
    return 0
