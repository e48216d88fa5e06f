"""``instances``: list the instances of an archive, or make one."""

from __future__ import annotations

import argparse
from pathlib import Path

from yamcs_archive.archive import Archive
from yamcs_archive.cli.arguments import data_directory, instance_name
from yamcs_archive.cli.target import add_place_options, chosen_directory, chosen_place, open_existing
from yamcs_archive.cli.user_option import login_for, refuse_user
from yamcs_archive.client import Client

LIST_EPILOG = """examples:
  yamcs-archive instances list --data ops-data
  yamcs-archive instances list --url http://127.0.0.1:8090
"""
CREATE_EPILOG = """example:
  yamcs-archive instances create --data ops-data simulator
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of the command and its actions."""
    parser = commands.add_parser(
        "instances",
        help="list or make instances",
        description="List the instances of an archive, or make one.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list",
        help="list them",
        description="List the instances, one a line, sorted.",
        epilog=LIST_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place_options(listing, instance=False)
    listing.set_defaults(run=run_list)
    making = actions.add_parser(
        "create",
        help="make one",
        description="Make an instance in a directory, which is made as well when it is absent. Does nothing"
        " when the instance is there.",
        epilog=CREATE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    making.add_argument(
        "--data", metavar="DIR", type=data_directory, help="the archive's directory (or YAMCS_ARCHIVE_DATA)"
    )
    making.add_argument("--url", type=_no_url, help=argparse.SUPPRESS)
    making.add_argument("name", metavar="NAME", type=instance_name, help="letters, digits, '.', '_' and '-'")
    making.set_defaults(run=run_create)


def _no_url(_: str) -> None:
    raise argparse.ArgumentTypeError(
        "--url: a server makes no instances: run this where the archive is, with --data DIR, or start the"
        " server with --instance NAME"
    )


def run_list(options: argparse.Namespace) -> int:
    """Print the names."""
    where = chosen_place(options)
    if isinstance(where, Path):
        refuse_user(options)
        with open_existing(where, readonly=True) as archive:
            names = archive.instances()
    else:
        with Client(where, credentials=login_for(options, where)) as client:
            names = client.instances()
    for name in names:
        print(name)
    return 0


def run_create(options: argparse.Namespace) -> int:
    """Make the instance."""
    with Archive.open(chosen_directory(options)) as archive:
        archive.instance(options.name, create=True)
    return 0
