"""``backup list``: show the manifests of backups."""

from __future__ import annotations

import argparse
from dataclasses import asdict

import msgspec

from yamcs_archive.backups import list_backups
from yamcs_archive.cli import arguments

EPILOG = """examples:
  yamcs-archive backup list /backups
  yamcs-archive backup list /backups/simulator.20261130T074651Z.3100.full.backup
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Print the manifest of each backup in a folder, or of one file, as a line of JSON, oldest first. Only"
        " the manifests are read: 'verify' reads everything."
    )
    parser.epilog = EPILOG
    parser.add_argument("target", metavar="TARGET", type=arguments.not_empty, help="a folder, or a file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the manifests."""
    for backup in list_backups(options.target):
        shown = {"file": str(backup.path), "bytes": backup.bytes, **asdict(backup.manifest)}
        print(msgspec.json.encode(shown).decode())
    return 0
