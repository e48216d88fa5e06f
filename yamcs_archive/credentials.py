"""Credentials for a served archive (HTTP Basic, bearer tokens), and checks that a URL contains none.

URLs are stored, shown and logged, so a password or a token must never be part of a URL, nor of any error.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from yamcs_archive.errors import InvalidInputError

_BEFORE_AT = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:/{0,2})?.*@", re.DOTALL)
_NOT_A_URL = "is not a URL; give one as http://127.0.0.1:8090"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_UNAUTHORIZED, _FORBIDDEN = 401, 403


def without_user(text: str) -> str:
    """Remove anything from a URL that may be a user or a password, so that it can be shown.

    >>> without_user("http://ada:secret@ops.example")
    'http://…@ops.example'
    """
    return _BEFORE_AT.sub(r"\1…@", text)


def check_url(text: str, name: str = "url") -> str:
    """Return ``text`` if it is the URL of a served archive, without a user, a query and a fragment.

    Raises :class:`~yamcs_archive.errors.InvalidInputError`, which names ``name`` and never shows anything
    that may be a password.

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
            rule = "has a user in it; give the URL without the user, and --user NAME"
            raise InvalidInputError(name, value, rule)
        whole = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # as looking up the name does
    except InvalidInputError:
        raise
    except ValueError:  # invalid brackets, an invalid port or name
        whole = False
    if not whole or any(character.isspace() or not character.isprintable() for character in text):
        raise InvalidInputError(name, value, _NOT_A_URL)
    if not text.isascii():
        raise InvalidInputError(name, value, "must be ASCII; write the host as xn--…, and the path with %")
    if "?" in text or "#" in text:
        raise InvalidInputError(name, value, "must end before '?' and '#'")
    return text


def is_open(url: str) -> bool:
    """Return whether others can read requests to a URL: it is plain HTTP, to another machine.

    >>> is_open("http://ops.example"), is_open("https://ops.example"), is_open("http://[::1]:8090")
    (True, False, False)
    """
    return urlsplit(url).scheme == "http" and not is_local(url)


def is_local(url: str) -> bool:
    """Return whether a URL is that of this machine.

    >>> is_local("http://[::1]:8090"), is_local("https://localhost"), is_local("http://ops.example")
    (True, True, False)
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True)
class Login:
    """A user and a password, for HTTP Basic (RFC 7617, in UTF-8).

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for values that cannot be sent; the error never
    shows the password.

    >>> login = Login("ada", "secret")
    >>> login, login.header
    (Login(user='ada'), 'Basic YWRhOnNlY3JldA==')
    """

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if ":" in self.user:  # the text after it is probably the password
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


@dataclass(frozen=True)
class Token:
    """A bearer token (RFC 6750), issued by an identity provider or a proxy.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for a token that cannot be sent; the error never
    shows it.

    >>> token = Token("c2VjcmV0")
    >>> token, token.header
    (Token(), 'Bearer c2VjcmV0')
    """

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.token, str) or not _TOKEN.fullmatch(self.token):
            raise InvalidInputError("token", "…", "must be letters, digits and -._~+/, with = at its end")

    @property
    def header(self) -> str:
        """The value of ``Authorization``."""
        return f"Bearer {self.token}"


_TOKEN_BYTES_MAX = 16 << 10


def read_token(file: Path) -> Token:
    """Return the token in a file, with or without white space around it.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for a file that cannot be read or has none.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(_TOKEN_BYTES_MAX).decode("ascii")
    except OSError as error:
        raise InvalidInputError("token_file", str(file), error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise InvalidInputError("token_file", str(file), "is not a token: it must be ASCII") from None
    if not text.strip():
        raise InvalidInputError("token_file", str(file), "is empty")
    return Token(text.strip())


Credentials = Login | Token
"""Credentials for requests to a server."""


def advice(status: int, credentials: Credentials | None, words: str = "") -> str:
    """Return advice for the text of a refused request; "" if other credentials would not help.

    ``words`` is the server's own text for a 403. If there is one, it is the reason, and needs no advice.

    >>> advice(401, None)[:40], advice(404, None)
    ('; it asks for a login: give --user NAME ', '')
    """
    if status == _UNAUTHORIZED and credentials is None:
        return (
            "; it asks for a login: give --user NAME or --token-file FILE; in Python user= and password=, or"
            " token="
        )
    if status == _UNAUTHORIZED and isinstance(credentials, Token):
        return "; it refuses the token: get a new one"
    if status == _UNAUTHORIZED and isinstance(credentials, Login):
        return (
            f"; it refuses user {credentials.user!r} or the password: see --user and YAMCS_ARCHIVE_PASSWORD"
        )
    if status == _FORBIDDEN and not words:
        if credentials is None:
            return "; give --user NAME, or user= and password= in Python"
        return f"; {_name(credentials)} may not do this there"
    return ""


def _name(credentials: Credentials) -> str:
    return f"user {credentials.user!r}" if isinstance(credentials, Login) else "the owner of the token"


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return the scheme, the host and the port of a URL.

    >>> origin("https://ops.example/a") == origin("https://OPS.example:443/b")
    True
    """
    parts = urlsplit(url)
    try:
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, parts.hostname, port
