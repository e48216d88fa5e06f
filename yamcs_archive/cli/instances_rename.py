"""``instances rename``: give an instance another name."""

from __future__ import annotations

import argparse
from pathlib import Path

from yamcs_archive.cli.arguments import instance_name, not_empty
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.target import add_target_options, chosen_target, open_existing, served

EPILOG = """examples:
  yamcs-archive instances rename --data ops-data simulator bench
  yamcs-archive instances rename --url http://127.0.0.1:8090 simulator bench
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Give an instance another name; its events and cursors stay. A crash leaves the old name or the new"
        " one. Mirrors elsewhere that follow it stop. On a served archive this needs the permission"
        " ManageArchive; without users, serve --allow-operations."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    parser.add_argument("name", metavar="OLD", type=not_empty, help="the name of the instance")
    parser.add_argument(
        "new_name", metavar="NEW", type=instance_name, help="its new name: letters, digits, '.', '_' and '-'"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Rename the instance."""
    where = chosen_target(options)
    if isinstance(where, Path):
        refuse_credentials(options)
        with open_existing(where, holder="yamcs-archive instances rename") as archive:
            archive.rename(options.name, options.new_name)
    else:
        with served(options, where) as client:
            client.rename(options.name, options.new_name)
    return 0
