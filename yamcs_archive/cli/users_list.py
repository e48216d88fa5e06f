"""``users list``: show the users."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from yamcs_archive.access.administration import listed
from yamcs_archive.cli.users_file_option import add_users_file, users_file

EPILOG = """examples:
  yamcs-archive users list --users users.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Show the users: whether each has a password, its service tokens, and what it may do."
    )
    parser.epilog = EPILOG
    add_users_file(parser)

    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each user."""
    rows = [("NAME", "PASSWORD", "TOKENS", "PERMISSIONS")]
    for name, user in listed(users_file(options)).items():
        password = "no" if user.password is None else "yes"
        rows.append((name, password, _joined(user.tokens), _joined(user.permissions)))
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    for *short, last in rows:
        print(*(text.ljust(width) for text, width in zip(short, widths, strict=True)), last, sep="  ")
    return 0


def _joined(texts: Iterable[str]) -> str:
    return ",".join(texts) or "-"
