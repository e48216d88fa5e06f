"""``users rotate-key``: sign logins with a new key."""

from __future__ import annotations

import argparse

from yamcs_archive.access.administration import rotate_key
from yamcs_archive.cli.users_file_option import add_users_file, users_file

EPILOG = """examples:
  yamcs-archive users rotate-key --users users.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Sign logins with a new key from now on. Logins under the current key stay, those under the one"
        " before it end: after a second change, none made before the first is left."
    )
    parser.epilog = EPILOG
    add_users_file(parser)

    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the new key."""
    rotate_key(users_file(options))
    return 0
