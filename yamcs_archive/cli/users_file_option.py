"""``--users FILE`` of the commands that change users, and how they ask for a new password."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import warnings
from pathlib import Path

from yamcs_archive.access.passwords import check_new_password
from yamcs_archive.access.permissions import Grant
from yamcs_archive.access.users import check_user_name
from yamcs_archive.cli.arguments import checked, data_directory
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import InvalidInputError

FILE = "YAMCS_ARCHIVE_USERS"


def add_users_file(parser: argparse.ArgumentParser) -> None:
    """Add ``--users``."""
    parser.add_argument(
        "--users",
        metavar="FILE",
        type=data_directory,
        help=f"the users file (or {FILE}), as for serve --users",
    )


def add_user_name(parser: argparse.ArgumentParser) -> None:
    """Add the name of a user."""
    parser.add_argument("name", metavar="NAME", type=user_name, help="the user's name")


def add_permissions(parser: argparse.ArgumentParser) -> None:
    """Add ``--permission``."""
    parser.add_argument(
        "--permission",
        metavar="PERMISSION",
        type=_grant,
        action="append",
        default=[],
        help="ReadEvents, WriteEvents, ManageArchive or ReadMetrics; for some instances only with @INSTANCE,"
        " and of some sources only with @INSTANCE/SOURCE, where * stands for anything; repeatable",
    )


def users_file(options: argparse.Namespace) -> Path:
    """Return the users file, from the command line, else from the environment; UsageError for none."""
    if options.users is not None:
        return Path(options.users)
    if given := os.environ.get(FILE):
        try:
            return data_directory(given)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"{FILE} {error}") from None
    raise UsageError(f"no users file given: use --users FILE (or set {FILE})")


def user_name(text: str) -> str:
    """Check the name of a user, and return it; for argparse."""
    return checked(check_user_name, text)


def label(text: str) -> str:
    """Check the name of a token, and return it; for argparse."""
    return checked(lambda given: check_user_name(given, "token"), text)


def _grant(text: str) -> Grant:
    return checked(Grant.parse, text)


def new_password(name: str) -> str:
    """Return a new password, from a prompt, or from the standard input if that is no terminal.

    There it is the first line; if there is a second one, it must be the same. Raises UsageError.
    """
    first, second = _asked_twice(name) if sys.stdin.isatty() else _read()
    if first != second:
        raise UsageError("the second password is another one: nothing was changed")
    try:
        return check_new_password(first)
    except InvalidInputError as error:
        raise UsageError(f"the password {error.rule}: nothing was changed") from None


def _read() -> tuple[str, str]:
    first, second = sys.stdin.readline(), sys.stdin.readline()
    if not first:
        raise UsageError("a password is needed: at a terminal, or as the first line of the standard input")
    first = first.removesuffix("\n").removesuffix("\r")
    return first, second.removesuffix("\n").removesuffix("\r") or first


def _asked_twice(name: str) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"New password of {name}: "), getpass.getpass("The same again: ")
    except (EOFError, getpass.GetPassWarning):
        raise UsageError("a password is needed, and none was given: nothing was changed") from None
