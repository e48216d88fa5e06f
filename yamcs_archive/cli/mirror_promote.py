"""``mirror promote``: make a copy whose source is gone an archive of its own."""

from __future__ import annotations

import argparse

from yamcs_archive.cli import arguments
from yamcs_archive.cli.target import add_directory_option, chosen_directory, open_existing

EPILOG = """example:
  yamcs-archive mirror promote --data copy --instance simulator
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Let a copy take events of its own, because its source is gone. Its cursors"
        " stay valid. It does not follow its source again: 'mirror --resync' sets it aside, and starts a new"
        " copy."
    )
    parser.epilog = EPILOG
    add_directory_option(parser, about="the copy's directory")
    parser.add_argument(
        "--instance", metavar="NAME", type=arguments.instance_name, required=True, help="the copy"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Promote the copy."""
    with open_existing(chosen_directory(options), holder="yamcs-archive mirror promote") as archive:
        was = archive.instance(options.instance).promote()
    print(f"{options.instance}: was a mirror of {was.instance} at {was.url}, and takes events now")
    return 0
