"""``--user``: the user who asks a served archive; the password comes from the environment or a terminal.

1. A password is never taken from the command line, which other users of the machine can list.
2. It is kept in memory only, while the command runs.
"""

from __future__ import annotations

import argparse
import getpass
import os
import warnings
from urllib.parse import urlsplit

from yamcs_archive.cli.errors import UsageError
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.credentials import Login, is_open
from yamcs_archive.errors import InvalidInputError

PASSWORD = "YAMCS_ARCHIVE_PASSWORD"  # noqa: S105  # its name only


def add_user_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--user``."""
    parser.add_argument(
        "--user",
        metavar="NAME",
        type=_user,
        help=f"ask the URL as this user, with the password from {PASSWORD} or a prompt (HTTP Basic)",
    )


def login_for(options: argparse.Namespace, url: str) -> Login | None:
    """Return the login, None if no user was given; a password that is not set is asked for.

    Raises :class:`UsageError` if there is no terminal to ask on.
    """
    if options.user is None:
        return None
    password = os.environ.get(PASSWORD) or _asked(f"Password of {options.user} at {url}: ")
    try:
        login = Login(options.user, password)
    except InvalidInputError as error:
        raise UsageError(f"{PASSWORD}: {error.rule}") from None
    if is_open(url):
        complain(
            f"the password goes to {urlsplit(url).hostname} unencrypted; use https where others may listen"
        )
    return login


def refuse_user(options: argparse.Namespace) -> None:
    """Raise UsageError for a ``--user`` that would be sent to nobody."""
    if options.user is not None:
        raise UsageError("--user is for a URL: a directory asks for no user")


def _user(text: str) -> str:
    try:
        return Login(text, "").user
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{error.value!r}: {error.rule}; {_WHERE}") from None


_WHERE = f"the password comes from {PASSWORD} or a prompt"


def _asked(prompt: str) -> str:
    try:
        with warnings.catch_warnings():
            # Raised if the terminal cannot be kept from showing what is typed, above all if there is none.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except EOFError:
        raise UsageError("--user needs a password, and none was given") from None
    except (getpass.GetPassWarning, OSError):
        raise UsageError(f"--user needs a password: set {PASSWORD}, there is no terminal to ask on") from None
