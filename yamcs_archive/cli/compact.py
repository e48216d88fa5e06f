"""``compact``: give space that is no longer used back to the file system."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.arguments import data_directory
from yamcs_archive.cli.target import chosen_directory, open_existing

EPILOG = """examples:
  yamcs-archive compact --data ops-data
  yamcs-archive compact --data ops-data simulator bench
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "compact",
        help="give unused space back",
        description="Give space that is no longer used back to the file system: all is sealed, then a dense"
        " copy takes the place of what is stored. Prints a line for each instance when it is done. The"
        " directory must not be in use by a writer, and the medium needs room for the copy; others may read"
        " meanwhile.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", metavar="DIR", type=data_directory, help="the archive's directory (or YAMCS_ARCHIVE_DATA)"
    )
    parser.add_argument("instances", metavar="INSTANCE", nargs="*", help="default: all that are there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compact one after the other; the first that fails ends it."""
    with open_existing(chosen_directory(options), holder="yamcs-archive compact") as archive:
        # All names are looked up before the first copy is made: a slip in the last shows at once.
        for instance in [archive.instance(name) for name in options.instances or archive.instances()]:
            done = instance.compact()
            print(
                f"{instance.name}: {done.before_bytes} bytes before, {done.after_bytes} after,"
                f" {done.seconds:.1f} s",
                flush=True,
            )
    return 0
