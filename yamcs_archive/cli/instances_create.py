"""``instances create``: create an instance in a directory."""

from __future__ import annotations

import argparse

from yamcs_archive.archive import Archive
from yamcs_archive.cli.arguments import data_directory, instance_name
from yamcs_archive.cli.target import chosen_directory

EPILOG = """example:
  yamcs-archive instances create --data ops-data simulator
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Create an instance in a directory, and the directory if it is missing. Does nothing if the"
        " instance exists."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--data", metavar="DIR", type=data_directory, help="the archive's directory (or YAMCS_ARCHIVE_DATA)"
    )
    parser.add_argument("--url", type=_no_url, help=argparse.SUPPRESS)
    parser.add_argument("name", metavar="NAME", type=instance_name, help="letters, digits, '.', '_' and '-'")
    parser.set_defaults(run=run)


def _no_url(_: str) -> None:
    raise argparse.ArgumentTypeError(
        "--url: a server cannot create instances; run this on the archive's machine with --data DIR, or"
        " start the server with --instance NAME"
    )


def run(options: argparse.Namespace) -> int:
    """Create the instance."""
    with Archive.open(chosen_directory(options)) as archive:
        archive.instance(options.name, create=True)
    return 0
