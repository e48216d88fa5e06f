"""``users passwd``: set a password."""

from __future__ import annotations

import argparse

from yamcs_archive.access.administration import listed, set_password
from yamcs_archive.access.passwords import hashed
from yamcs_archive.cli.users_file_option import add_user_name, add_users_file, new_password, users_file
from yamcs_archive.errors import InvalidInputError

EPILOG = """examples:
  yamcs-archive users passwd --users users.json ada
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Set a user's password, from a prompt or from the standard input, as users add does. The user's"
        " logins end at once; its service tokens stay."
    )
    parser.epilog = EPILOG
    add_users_file(parser)
    add_user_name(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Set the password."""
    path = users_file(options)
    if options.name not in listed(path):  # before a password is asked for
        raise InvalidInputError("user", options.name, "is not in the file: see users list")
    set_password(path, options.name, hashed(new_password(options.name)))
    return 0
