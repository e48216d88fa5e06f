"""``users add``: add a user."""

from __future__ import annotations

import argparse

from yamcs_archive.access.administration import add_user, listed
from yamcs_archive.access.passwords import hashed
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.users_file_option import (
    add_permissions,
    add_user_name,
    add_users_file,
    new_password,
    users_file,
)
from yamcs_archive.errors import InvalidInputError

EPILOG = """examples:
  yamcs-archive users add --users users.json ada --permission ReadEvents --permission WriteEvents
  yamcs-archive users add --users users.json gnc --permission "WriteEvents@sim/GNC*" < password.txt
  yamcs-archive users add --users users.json grafana --permission ReadEvents --no-password
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Add a user. The password comes from a prompt, or from the standard input: its first line; if there"
        " is a second line, it must be the same. The users file is made if it is not there, so that only its"
        " owner may read it, and beside it the key that signs logins. A running server takes the change at"
        " once."
    )
    parser.epilog = EPILOG
    add_users_file(parser)
    add_user_name(parser)
    add_permissions(parser)
    parser.add_argument(
        "--no-password", action="store_true", help="for users with tokens alone, and those that a proxy names"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Add the user."""
    path = users_file(options)
    if path.exists() and options.name in listed(path):  # before a password is asked for
        raise InvalidInputError("user", options.name, "is there already: see users passwd, permit and token")
    password = None if options.no_password else hashed(new_password(options.name))
    add_user(path, options.name, options.permission, password)
    if not options.permission:
        complain(f"{options.name} has no permission yet: see users permit")
    return 0
