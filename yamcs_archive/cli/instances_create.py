"""``instances create``: create an instance in a directory, or in a served archive."""

from __future__ import annotations

import argparse
from pathlib import Path

from yamcs_archive.archive import Archive
from yamcs_archive.cli.arguments import instance_name
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.target import add_target_options, chosen_target, served

EPILOG = """examples:
  yamcs-archive instances create --data ops-data simulator
  yamcs-archive instances create --url http://127.0.0.1:8090 bench
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Create an instance, and with --data the directory if it is missing. Does nothing if the instance"
        " exists. A served archive must allow it (the permission ManageArchive; without users, serve"
        " --allow-operations)."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    parser.add_argument(
        "name", metavar="NAME", type=instance_name, help="its name: letters, digits, '.', '_' and '-'"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Create the instance."""
    where = chosen_target(options)
    if isinstance(where, Path):
        refuse_credentials(options)
        with Archive.open(where, holder="yamcs-archive instances create") as archive:
            archive.instance(options.name, create=True)
    else:
        with served(options, where) as client:
            client.instance(options.name, create=True)
    return 0
