"""``--user``: a user for requests to a served archive. The password comes from the environment or a terminal.

1. A password is never read from the command line, because other users of the machine can list that.
2. It is in memory only, and only while the command runs.
"""

from __future__ import annotations

import argparse
import getpass
import os
import warnings
from urllib.parse import urlsplit

from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.credentials import Login, is_open
from yamcs_archive.errors import InvalidInputError

PASSWORD = "YAMCS_ARCHIVE_PASSWORD"  # noqa: S105  # its name only


def add_user_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--user``."""
    parser.add_argument(
        "--user",
        metavar="NAME",
        type=_user,
        help=f"send requests as this user, with the password from {PASSWORD} or a prompt (HTTP Basic)",
    )


def login_for(options: argparse.Namespace, url: str) -> Login | None:
    """Return the login, or None if no user was given. Without a password in the environment, ask for one.

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
            f"the password is sent to {urlsplit(url).hostname} unencrypted; use https if others may listen"
        )
    return login


def refuse_user(options: argparse.Namespace) -> None:
    """Raise UsageError if ``--user`` is given with a directory."""
    if options.user is not None:
        raise UsageError("--user is for a URL; a directory needs no user")


def _user(text: str) -> str:
    try:
        return Login(text, "").user
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{error.value!r}: {error.rule}; {_WHERE}") from None


_WHERE = f"the password comes from {PASSWORD} or a prompt"


def _asked(prompt: str) -> str:
    try:
        with warnings.catch_warnings():
            # A warning comes if the terminal cannot hide the input, above all if there is no terminal.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except EOFError:
        raise UsageError("--user needs a password; none was given") from None
    except (getpass.GetPassWarning, OSError):
        raise UsageError(f"--user needs a password: set {PASSWORD}; there is no terminal to ask on") from None
