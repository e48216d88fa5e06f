"""``--user`` and ``--token-file``: who sends requests to a served archive.

1. A password and a token are never read from the command line, because other users of the machine can list
   that: a password comes from the environment or a terminal, a token from the environment or a file.
2. They are in memory only, and only while the command runs.
"""

from __future__ import annotations

import argparse
import getpass
import os
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from yamcs_archive.cli.arguments import data_directory
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.credentials import Credentials, Login, Token, is_open, read_token
from yamcs_archive.errors import InvalidInputError

PASSWORD = "YAMCS_ARCHIVE_PASSWORD"  # noqa: S105  # its name only


TOKEN = "YAMCS_ARCHIVE_TOKEN"  # noqa: S105  # its name only


def add_credentials(parser: argparse.ArgumentParser) -> None:
    """Add ``--user`` and ``--token-file``."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--user",
        metavar="NAME",
        type=_user,
        help=f"send requests as this user, with the password from {PASSWORD} or a prompt (HTTP Basic)",
    )
    one.add_argument(
        "--token-file",
        metavar="FILE",
        type=data_directory,
        help=f"send requests with the token in this file (or that in {TOKEN})",
    )


def credentials_for(options: argparse.Namespace, url: str) -> Credentials | None:
    """Return the login or the token; None if none was given, nor is a token in the environment.

    Without a password in the environment, ask for one. Raises :class:`UsageError` if there is no terminal to
    ask on, and for a token that cannot be read or sent.
    """
    if options.user is None:
        return _token(options.token_file, url)
    password = os.environ.get(PASSWORD) or _asked(f"Password of {options.user} at {url}: ")
    try:
        login = Login(options.user, password)
    except InvalidInputError as error:
        raise UsageError(f"{PASSWORD}: {error.rule}") from None
    _warn_if_open(url, "password")
    return login


def _warn_if_open(url: str, what: str) -> None:
    if is_open(url):
        complain(
            f"the {what} is sent to {urlsplit(url).hostname} unencrypted; use https if others may listen"
        )


def _token(file: Path | None, url: str) -> Token | None:
    """Return the token of a file or of the environment; None if there is neither."""
    where = TOKEN if file is None else f"--token-file {file}"
    try:
        if file is not None:
            token = read_token(file)
        elif text := os.environ.get(TOKEN, "").strip():
            token = Token(text)
        else:
            return None
    except InvalidInputError as error:
        raise UsageError(f"{where}: {'the token ' * (error.field == 'token')}{error.rule}") from None
    _warn_if_open(url, "token")
    return token


def refuse_credentials(options: argparse.Namespace) -> None:
    """Raise UsageError if ``--user`` or ``--token-file`` is given with a directory."""
    for name in ("user", "token_file"):
        if getattr(options, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is for a URL; a directory needs no login")


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
