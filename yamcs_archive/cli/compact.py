"""``compact``: return unused space to the file system."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.arguments import data_directory
from yamcs_archive.cli.target import chosen_directory, open_existing

EPILOG = """examples:
  yamcs-archive compact --data ops-data
  yamcs-archive compact --data ops-data simulator bench
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Return unused space to the file system: seal all events, then replace the files by a dense copy."
        " Prints a line for each instance. No other process may write to the directory meanwhile, but any"
        " may read. The disk needs room for the copy."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--data", metavar="DIR", type=data_directory, help="the archive's directory (or YAMCS_ARCHIVE_DATA)"
    )
    parser.add_argument("instances", metavar="INSTANCE", nargs="*", help="default: all in the directory")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compact the instances one after the other, and stop at the first failure."""
    with open_existing(chosen_directory(options), holder="yamcs-archive compact") as archive:
        # Look up all names before the first copy is made, so that a misspelt last name shows at once.
        for instance in [archive.instance(name) for name in options.instances or archive.instances()]:
            done = instance.compact()
            print(
                f"{instance.name}: {done.before_bytes} bytes before, {done.after_bytes} after,"
                f" {done.seconds:.1f} s",
                flush=True,
            )
    return 0
