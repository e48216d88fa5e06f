"""``users token``: make or revoke a service token."""

from __future__ import annotations

import argparse

from yamcs_archive.access.administration import add_token, revoke_token
from yamcs_archive.cli.users_file_option import add_user_name, add_users_file, label, users_file

EPILOG = """examples:
  yamcs-archive users token --users users.json grafana > token.txt
  yamcs-archive users token --users users.json grafana --revoke service
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Make a service token for a user, and print it: it is shown this once, because only its hash is"
        " kept. A program sends it as Authorization: Bearer TOKEN or as x-api-key: TOKEN, and may do what"
        " the user may. It has no end but --revoke, and users remove."
    )
    parser.epilog = EPILOG
    add_users_file(parser)
    add_user_name(parser)
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--label",
        metavar="LABEL",
        type=label,
        default="service",
        help="the name of the token; default: %(default)s",
    )
    one.add_argument("--revoke", metavar="LABEL", type=label, help="revoke the token of that name")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the token, or revoke it."""
    path = users_file(options)
    if options.revoke is None:
        print(add_token(path, options.name, options.label))
    else:
        revoke_token(path, options.name, options.revoke)
    return 0
