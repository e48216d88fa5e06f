"""Checks what a handler is given, in a program or by ``dictConfig``; pure, but for the file of a token."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from yamcs_archive import arguments
from yamcs_archive.credentials import Credentials, Login, Token, read_token
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Severity
from yamcs_archive.logging.records import Naming
from yamcs_archive.user_paths import given_path

SEVERITIES: Mapping[int, Severity] = {
    logging.NOTSET: Severity.INFO,
    logging.WARNING: Severity.WARNING,
    logging.ERROR: Severity.DISTRESS,
    logging.CRITICAL: Severity.SEVERE,
}
"""The least level of each severity."""


def check_place(instance: object, path: object, url: object) -> None:
    """Raise InvalidInputError unless an instance, or a name with a path or a URL, is given."""
    named = isinstance(instance, str)
    if named and (path is None) == (url is None):
        raise InvalidInputError("instance", instance, "is a name: give either path= or url= beside it")
    if not named and not (path is None and url is None):
        raise InvalidInputError("instance", instance, "must be a name, beside path= or url=")
    if not named and not hasattr(instance, "append_many"):
        raise InvalidInputError("instance", instance, "must be an open instance, or a name")


def given_credentials(user: object, password: object, token: object, token_file: Any) -> Credentials | None:
    """Return the credentials for a URL; None if none are given. Raises InvalidInputError."""
    if sum(each is not None for each in (user, token, token_file)) > 1:
        raise InvalidInputError("user", "…", "give one of user, token and token_file")
    if token_file is not None:
        return read_token(given_path(token_file, "token_file"))
    if token is not None:
        return Token(arguments.text("token", token))
    if (user is None) != (password is None):
        raise InvalidInputError("user", "…", "must be given with a password, and a password with a user")
    return None if user is None else Login(arguments.text("user", user), arguments.text("password", password))


def naming(field: str, given: object) -> Naming | None:
    """Return the function of a record that was given, or one for the text that was given."""
    if given is None:
        return None
    if callable(given):
        return given
    found = arguments.text(field, given)
    return lambda _: found


def severities_of(given: Mapping[int | str, Severity | str] | None) -> dict[int, Severity]:
    """Return the least level of each severity, the usual ones included.

    >>> severities_of({"ERROR": "CRITICAL", 25: Severity.WATCH})[logging.ERROR]
    <Severity.CRITICAL: 4>
    """
    found = dict(SEVERITIES)
    if given is not None and not isinstance(given, Mapping):
        raise InvalidInputError("severities", given, "must be a dict of levels to severities")
    for level, severity in (given or {}).items():
        number = logging.getLevelName(level) if isinstance(level, str) else level
        if type(number) is not int:
            raise InvalidInputError(
                "severities", level, "must be a level: a number, or a name that logging knows"
            )
        found[number] = severity if isinstance(severity, Severity) else Severity.parse(severity, "severities")
    return found
