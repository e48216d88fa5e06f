"""Users as they were read from their file: who has which name, password, token and permissions. Pure.

The file is JSON::

    {"version": 1, "users": {"ada": {"permissions": ["ReadEvents"], "epoch": "…", "password": "$scrypt$…",
     "tokens": {"grafana": {"sha256": "…", "made": "2026-11-30T12:00:00Z"}}}}}
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.passwords import check_stored
from yamcs_archive.access.permissions import Grant, Rights
from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.times import format_rfc3339, now_us

NAME_BYTES_MAX = 128
"""Longest name of a user or of a token, in bytes of UTF-8: it is stored with each event of the user."""
_VERSION = 1
_EPOCH_BYTES, _TOKEN_BYTES = 8, 32
_SHA256 = re.compile("[0-9a-f]{64}", re.ASCII)
_TURN = 20
"""Number of users that are checked, in less than a millisecond, until another thread gets its turn."""
_T = TypeVar("_T")
TOKEN_PREFIX = "yat_"  # noqa: S105  # its beginning only
"""Begins each service token, so that people and scanners of published secrets know one."""


class ServiceToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token of a user, for programs; of the token itself only the hash is kept."""

    sha256: str
    made: str
    """RFC 3339."""


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A user, as in the file."""

    permissions: list[str]
    epoch: str
    password: str | None = None
    """The hash; None: the user has tokens only, or is named by a proxy."""
    tokens: dict[str, ServiceToken] = {}

    @classmethod
    def new(cls, grants: Iterable[Grant], password: str | None) -> User:
        """Return a new user; ``password`` is the hash."""
        return cls([str(grant) for grant in grants], new_epoch(), password)


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of the file."""

    version: int
    users: dict[str, User]


NO_USERS = Document(_VERSION, {})


def new_epoch() -> str:
    """Return a new epoch: whoever logged in with an earlier one has to log in again."""
    return secrets.token_hex(_EPOCH_BYTES)


def new_token() -> tuple[str, ServiceToken]:
    """Return a new token of 256 random bits, and what is kept of it."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, ServiceToken(_sha256(token), format_rfc3339(now_us() // 1_000_000 * 1_000_000))


def check_user_name(name: str, field: str = "user") -> str:
    """Return a name that a user or a token can have; InvalidInputError for another one.

    >>> check_user_name("ada:secret")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: user 'ada:…': must be a name without ':'
    """
    if ":" in name:  # the text after it is probably the password
        raise InvalidInputError(field, name.partition(":")[0] + ":…", "must be a name without ':'")
    if not name or name != name.strip() or not name.isprintable():
        raise InvalidInputError(field, name, "must be printable text without blanks at its ends")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise InvalidInputError(field, name, f"must have at most {NAME_BYTES_MAX} bytes in UTF-8")
    return name


def decode(raw: bytes) -> Document:
    """Return the content of a file; InvalidInputError that says which part of it is wrong.

    >>> decode(b'{"version": 1, "users": {"ada": {"permissions": [], "epoch": "a", "colour": 1}}}')
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: users file 'ada': Object contains unknown field `colour`
    """
    if not raw:
        raise InvalidInputError("users file", "", "is empty")
    try:
        outer: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError("users file", "…", f"is not JSON: {error}") from None
    if isinstance(outer, dict) and isinstance(outer.get("version"), int) and outer["version"] > _VERSION:
        rule = f"is of a later version of yamcs_archive: this one reads version {_VERSION}"
        raise InvalidInputError("users file", outer["version"], rule)
    users = outer.get("users") if isinstance(outer, dict) else None
    if not isinstance(users, dict):
        return _checked(_converted(outer, Document, "…"))
    found = {name: _converted(user, User, name) for name, user in _in_turns(users.items())}
    document: Document = _converted({**outer, "users": {}}, Document, "…")
    return _checked(msgspec.structs.replace(document, users=found))


def _in_turns(each: Iterable[_T]) -> Iterator[_T]:
    """Yield each, and leave the interpreter to other threads after some of them: those would get it every
    5 ms only, and a request needs it several times.
    """
    for nth, one in enumerate(each):
        if nth % _TURN == _TURN - 1:
            time.sleep(0)
        yield one


def _converted(value: Any, kind: type[Any], name: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        # The text of the error names the field, and never shows a value.
        raise InvalidInputError("users file", name, str(error)) from None


def _checked(document: Document) -> Document:
    if document.version != _VERSION:
        raise InvalidInputError("users file", document.version, f"must be version {_VERSION}")
    hashes: dict[str, str] = {}
    for name, user in _in_turns(document.users.items()):
        try:
            check_user_name(name)
            for text in user.permissions:
                Grant.parse(text)
            if not user.epoch:
                raise InvalidInputError("epoch", user.epoch, "must not be empty")
            if user.password is not None:
                check_stored(user.password)
            for label, token in user.tokens.items():
                check_user_name(label, "token")
                if not _SHA256.fullmatch(token.sha256):
                    raise InvalidInputError("token", label, "must have its SHA-256, in hexadecimal")
                if hashes.setdefault(token.sha256, name) != name:
                    raise InvalidInputError("token", label, f"is also a token of {hashes[token.sha256]}")
        except InvalidInputError as error:
            raise InvalidInputError("users file", name.partition(":")[0], str(error)) from None
    return document


def encode(document: Document) -> bytes:
    """Return a content as it is written: JSON that can be read and compared."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


class Users:
    """The users of a server: immutable, for any number of threads.

    >>> users = Users(Document(1, {"ada": User(["ReadEvents"], "a")}))
    >>> users.caller("ada").name, users.caller("bob")
    ('ada', None)
    """

    def __init__(self, document: Document) -> None:
        self._users: Mapping[str, User] = document.users
        self._callers = {
            name: Caller(name, Rights(map(Grant.parse, user.permissions)), user.epoch)
            for name, user in _in_turns(document.users.items())
        }
        self._by_token = {
            token.sha256: self._callers[name]
            for name, user in document.users.items()
            for token in user.tokens.values()
        }

    def __len__(self) -> int:
        return len(self._users)

    def caller(self, name: str) -> Caller | None:
        """Return the user of that name."""
        return self._callers.get(name)

    def password_of(self, name: str) -> str | None:
        """Return the hash of a user's password; None if there is none."""
        user = self._users.get(name)
        return None if user is None else user.password

    def caller_with_token(self, token: str) -> Caller | None:
        """Return the user with that service token.

        The hash is what is looked up, so how long that takes says nothing about the token.
        """
        return self._by_token.get(_sha256(token))

    def __repr__(self) -> str:
        return f"Users({', '.join(map(shown, sorted(self._users)))})"


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
