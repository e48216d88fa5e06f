"""Credentials for a served archive (HTTP Basic), and URLs, which have none.

1. A password is no part of a URL, nor of any text: URLs are stored, shown and logged.
2. A password goes only to the origin (scheme, host, port) that it was given for, whatever a server redirects
   to.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, Any
from urllib.parse import urlsplit

from yamcs_archive.errors import InvalidInputError

_BEFORE_AT = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:/{0,2})?.*@", re.DOTALL)
_NOT_A_URL = "is not a URL; give one as http://127.0.0.1:8090"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNAUTHORIZED, _FORBIDDEN = 401, 403


def without_user(text: str) -> str:
    """Return a URL to be shown, without anything in it that may be a user or a password.

    >>> without_user("http://ada:secret@ops.example")
    'http://…@ops.example'
    """
    return _BEFORE_AT.sub(r"\1…@", text)


def check_url(text: str, name: str = "url") -> str:
    """Return ``text`` if it is the URL of a served archive, without a user, a query and a fragment.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` that names ``name``, and shows nothing that
    may be a password.

    >>> check_url("https://ops.example/archive/")
    'https://ops.example/archive/'
    >>> check_url("http://ada:secret@ops.example")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: url 'http://…@ops.example': has a user in it; ...
    """
    value = without_user(text)
    try:
        parts = urlsplit(text)
        if "@" in parts.netloc:
            rule = "has a user in it; give the URL without, and --user NAME"
            raise InvalidInputError(name, value, rule)
        whole = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as looking up the name does
    except InvalidInputError:
        raise
    except ValueError:  # brackets, a port or a name that are none
        whole = False
    if not whole or any(character.isspace() or not character.isprintable() for character in text):
        raise InvalidInputError(name, value, _NOT_A_URL)
    if not text.isascii():
        raise InvalidInputError(name, value, "must be ASCII: write the host as xn--…, the path with %")
    if "?" in text or "#" in text:
        raise InvalidInputError(name, value, "must end before '?' and '#'")
    return text


def is_open(url: str) -> bool:
    """Return whether a request to a URL can be read on the way: plain HTTP to another machine.

    >>> is_open("http://ops.example"), is_open("https://ops.example"), is_open("http://[::1]:8090")
    (True, False, False)
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    return parts.scheme == "http" and not local


@dataclass(frozen=True)
class Login:
    """A user and a password, for HTTP Basic (RFC 7617, in UTF-8).

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for values that cannot be sent;
    it shows no password.

    >>> login = Login("ada", "secret")
    >>> login, login.header
    (Login(user='ada'), 'Basic YWRhOnNlY3JldA==')
    """

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if ":" in self.user:  # what follows is likely the password
            raise InvalidInputError("user", self.user.partition(":")[0] + ":…", "must be a name without ':'")
        if not self.user:
            raise InvalidInputError("user", self.user, "must not be empty")
        for name, text in (("user", self.user), ("password", self.password)):
            if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
                raise InvalidInputError(name, "…", "must have no control characters")
            if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
                raise InvalidInputError(name, "…", "must be UTF-8")

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def open_url(
    request: urllib.request.Request, login: Login | None, timeout_s: float
) -> http.client.HTTPResponse:
    """Send a request and return its answer, as urllib does; with a login, rule 2 holds.

    Raises what :func:`urllib.request.urlopen` raises; HTTPError also for a redirect to another origin, when
    there is a login.
    """
    answer: http.client.HTTPResponse
    if login is None:
        answer = urllib.request.urlopen(request, timeout=timeout_s)  # check_url checked its scheme
        return answer
    # Unredirected: urllib passes every other header on, to any host.
    request.add_unredirected_header("Authorization", login.header)
    answer = urllib.request.build_opener(_SameOrigin(login)).open(request, timeout=timeout_s)
    return answer


def advice(status: int, login: Login | None, words: str = "") -> str:
    """Return what to do about a refusal, to be put after its text; "" if no login would change it.

    ``words`` are the server's own for a 403: if it has some they say why.

    >>> advice(401, None), advice(404, None)
    ('; it asks for a user and a password: give --user NAME', '')
    """
    if status == _UNAUTHORIZED and login is None:
        return "; it asks for a user and a password: give --user NAME"
    if status == _UNAUTHORIZED and login is not None:
        return f"; it refuses user {login.user!r} or the password: see --user and YAMCS_ARCHIVE_PASSWORD"
    if status == _FORBIDDEN and not words:
        return "; give --user NAME" if login is None else f"; user {login.user!r} may not do this there"
    return ""


class _SameOrigin(urllib.request.HTTPRedirectHandler):
    """Follows redirects within one origin, and takes the login along."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def redirect_request(  # noqa: PLR0917  # as it is called
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        if _origin(newurl) != _origin(req.full_url):
            parts = urlsplit(newurl)
            there = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # the rest may be a secret
            text = f"a redirect to {there}; a password goes to no other place: give that URL"
            raise urllib.error.HTTPError(req.full_url, code, text, _headers(headers), fp)
        redirected = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if redirected is not None:
            redirected.add_unredirected_header("Authorization", self._login.header)
        return redirected


def _headers(headers: Message) -> Any:
    return headers  # urllib's own type of them differs between versions of the type information


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, parts.hostname, port
