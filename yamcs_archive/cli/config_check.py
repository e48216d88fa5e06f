"""``config check``: say what is wrong with a configuration file."""

from __future__ import annotations

import argparse
from pathlib import Path

from yamcs_archive.cli.arguments import not_empty
from yamcs_archive.server.configuration import check_file

EPILOG = """examples:
  yamcs-archive config check /etc/yamcs-archive/archive.toml
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Read a configuration file of serve, and print every fault with its line, on stdout: keys that are"
        " not known, and values that are not valid. Starts nothing, and looks at nothing that the file names."
        " Exit status 1 if there is a fault."
    )
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=not_empty, help="the file, in TOML")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the faults, or that there are none."""
    faults = check_file(Path(options.file).expanduser())
    for fault in faults or [f"{options.file}: no faults"]:
        print(fault)
    return 1 if faults else 0
