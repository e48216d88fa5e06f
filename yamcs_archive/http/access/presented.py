"""What a request presents to say who sends it: headers and cookies as they came. Pure.

Of several the first counts: ``Authorization``, ``x-api-key``, the cookie of the page's login, and the cookie
``access_token``, in which pages of a Yamcs server have a token.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple

SESSION_COOKIE = "yamcs_archive_session"
TOKEN_COOKIE = "access_token"  # noqa: S105  # its name only

_COUNTING = ("authorization", "x-api-key", "cookie")
"""The headers that count, the first one before the others."""


class Means(Enum):
    """How a request says who sends it."""

    PASSWORD = auto()
    TOKEN = auto()
    """A login token or a service token."""
    KEY = auto()
    """A service token."""
    SESSION = auto()
    """The cookie of the page."""
    UNREADABLE = auto()
    """None of them: a malformed header."""


class Presented(NamedTuple):
    """A means, with a user's name if it has one, and what only that user can know."""

    means: Means
    secret: str = ""
    name: str = ""

    def __repr__(self) -> str:
        return f"Presented({self.means.name})"  # the rest may not be shown or logged


def counting_header(headers: Mapping[str, str]) -> str | None:
    """Return the header that may say who sends a request, with its name; None if there is none.

    What :func:`presented` returns depends on this text alone.

    >>> counting_header({"x-api-key": "k", "cookie": "a=b"})
    'x-api-key: k'
    """
    for name in _COUNTING:
        value = headers.get(name)
        if value is not None:
            return f"{name}: {value}"
    return None


def presented(headers: Mapping[str, str]) -> Presented | None:
    """Return what a request presents; None for nothing.

    >>> presented({"authorization": "Basic YWRhOnNlY3JldA=="}).name
    'ada'
    >>> presented({"x-api-key": "k"}), presented({"cookie": "a=b; access_token=t"}), presented({})
    (Presented(KEY), Presented(TOKEN), None)
    """
    if (given := headers.get("authorization")) is not None:
        return _authorization(given)
    if (given := headers.get("x-api-key")) is not None:
        return Presented(Means.KEY, given.strip())
    if (given := headers.get("cookie")) is not None:
        found = dict(_cookies(given))
        if SESSION_COOKIE in found:
            return Presented(Means.SESSION, found[SESSION_COOKIE])
        if TOKEN_COOKIE in found:
            return Presented(Means.TOKEN, found[TOKEN_COOKIE])
    return None


def _authorization(given: str) -> Presented:
    scheme, _, rest = given.strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer" and rest:
        return Presented(Means.TOKEN, rest)
    if scheme.lower() != "basic":
        return Presented(Means.UNREADABLE)
    try:
        name, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return Presented(Means.UNREADABLE)
    return Presented(Means.PASSWORD, password, name) if colon else Presented(Means.UNREADABLE)


def _cookies(given: str) -> Iterator[tuple[str, str]]:
    """Yield the cookies of a header (RFC 6265, 4.2); of several with one name dict() keeps the last."""
    for part in given.replace(",", ";").split(";"):  # several headers come joined by commas
        name, equals, value = part.strip().partition("=")
        if equals:
            yield name.strip(), value.strip().strip('"')
