"""``instances``: list the instances of an archive, or make one."""

from __future__ import annotations

import argparse

from yamcs_archive.archive import Archive
from yamcs_archive.cli.places import add_place_options, ask, chosen_place
from yamcs_archive.errors import InvalidInputError

EPILOG = """examples:
  yamcs-archive instances list --data ops-data
  yamcs-archive instances create --data ops-data simulator
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of the command and its actions."""
    parser = commands.add_parser(
        "instances",
        help="list or make instances",
        description="List the instances of an archive, one a line, or make one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list them", description="List the instances, one a line.")
    add_place_options(listing, instance=False)
    listing.set_defaults(run=run_list)
    making = actions.add_parser("create", help="make one", description="Make an instance in a directory.")
    add_place_options(making, instance=False)
    making.add_argument("name", metavar="NAME", help="letters, digits, '.', '_' and '-'")
    making.set_defaults(run=run_create)


def run_list(options: argparse.Namespace) -> int:
    """Print the names."""
    data, url = chosen_place(options)
    if data is not None:
        with Archive.open(data, readonly=True) as archive:
            names = archive.instances()
    else:
        names = [found["name"] for found in ask(url or "", "/api/instances")["instances"]]
    for name in names:
        print(name)
    return 0


def run_create(options: argparse.Namespace) -> int:
    """Make the instance; nothing happens when it is there."""
    data, url = chosen_place(options)
    if data is None:
        raise InvalidInputError(
            "--url", url, "instances are made in a directory: give --data DIR, or serve --instance"
        )
    with Archive.open(data) as archive:
        archive.instance(options.name, create=True)
    return 0
