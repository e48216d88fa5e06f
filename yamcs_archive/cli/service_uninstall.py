"""``service uninstall``: remove the units that ``service install`` has written."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.service_install import add_place
from yamcs_archive.server.units import remove_units

EPILOG = """examples:
  yamcs-archive service uninstall
  yamcs-archive service uninstall --name bench
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Remove the units that service install has written. One that is enabled, or that was changed, stays."
        " The archive, the configuration and the account stay in any case."
    )
    parser.epilog = EPILOG
    add_place(parser)
    parser.add_argument("--force", action="store_true", help="remove units that were changed or are enabled")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Remove the units."""
    for path in remove_units(options.directory, options.name, force=options.force):
        print(f"{path}: removed")
    print("Next, as root:\n  systemctl daemon-reload")
    return 0
