"""``users remove``: remove a user."""

from __future__ import annotations

import argparse

from yamcs_archive.access.administration import remove_user
from yamcs_archive.cli.users_file_option import add_user_name, add_users_file, users_file

EPILOG = """examples:
  yamcs-archive users remove --users users.json ada
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = "Remove a user, with all its tokens. Its logins end at once; events keep its name."
    parser.epilog = EPILOG
    add_users_file(parser)
    add_user_name(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Remove the user."""
    remove_user(users_file(options), options.name)
    return 0
