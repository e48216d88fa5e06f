"""``users permit``: set what a user may do."""

from __future__ import annotations

import argparse

from yamcs_archive.access.administration import set_permissions
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.users_file_option import add_permissions, add_user_name, add_users_file, users_file

EPILOG = """examples:
  yamcs-archive users permit --users users.json ada --permission ReadEvents@sim
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Set what a user may do, in place of all that it was permitted before. Requests under way go on;"
        " live updates and streams that are no longer permitted end."
    )
    parser.epilog = EPILOG
    add_users_file(parser)
    add_user_name(parser)
    add_permissions(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Set the permissions."""
    set_permissions(users_file(options), options.name, options.permission)
    if not options.permission:
        complain(f"{options.name} may do nothing now")
    return 0
