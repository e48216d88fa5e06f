"""Login tokens: what a user gets for a password, signed, so that nothing about logins need be kept.

1. They are JSON Web Tokens (RFC 7519), signed by HMAC-SHA256 with a key beside the users file. The key before
   it is accepted as well, so that a change of keys ends no login.
2. A token carries the epoch of its user: it ends when the password changes or the user is removed.
3. Nobody can make a token out of one of another kind: each says what it is for.
4. What goes on with a token, an open WebSocket as an example, is checked again each time something changes.
   So the claims of such tokens are remembered, by a keyed hash of the token, and their signatures are not
   verified again. Everything else is: time, user, epoch and kind.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from time import time
from typing import Any, NamedTuple

import jwt

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.permissions import Permission
from yamcs_archive.access.signing_keys import Keys
from yamcs_archive.access.users import Users

ACCESS_S = 500
"""Life of an access token, in seconds, as on a Yamcs server: its client renews it in the last minute."""
REFRESH_S = 7 * 24 * 3600
"""Life of a refresh token, in seconds: a client that sleeps over a weekend goes on."""
SESSION_S = 12 * 3600
"""Life of a login of the page, in seconds: a shift."""
_ALGORITHM = "HS256"
_VERIFIED_MAX = 2_048
"""Number of tokens whose claims are remembered, in some 2 MB: twice as many as WebSockets may be open."""
_KEY_BYTES = 32


class Kind(StrEnum):
    """What a token is for."""

    ACCESS = "access"
    REFRESH = "refresh"
    SESSION = "session"


LIVES_S = {Kind.ACCESS: ACCESS_S, Kind.REFRESH: REFRESH_S, Kind.SESSION: SESSION_S}


class LoginToken(NamedTuple):
    """What a token says."""

    caller: Caller
    kind: Kind
    number: str
    """Its own: no two tokens have the same one."""
    expires: int
    """Seconds since 1970."""


class LoginTokens:
    """Makes and reads tokens. Immutable, but for what it remembers; safe to use from many threads.

    >>> from yamcs_archive.access.users import Document, User
    >>> users = Users(Document(1, {"ada": User([], "epoch")}))
    >>> tokens = LoginTokens(Keys(bytes(32)))
    >>> text = tokens.make(users.caller("ada"), Kind.ACCESS)
    >>> tokens.read(text, users, Kind.ACCESS).caller.name, tokens.read(text, users, Kind.REFRESH)
    ('ada', None)
    """

    def __init__(self, keys: Keys, now_s: Callable[[], float] = time) -> None:
        self._keys = [key for key in (keys.current, keys.previous) if key is not None]
        self._now_s = now_s
        self._digest_key = secrets.token_bytes(_KEY_BYTES)
        self._guard = threading.Lock()
        self._verified: OrderedDict[bytes, dict[str, Any]] = OrderedDict()

    def make(self, caller: Caller, kind: Kind, by: Caller | None = None) -> str:
        """Return a new token of a user; ``by`` is who asked for it, if that is somebody else."""
        now = int(self._now_s())
        claims: dict[str, Any] = {
            "sub": caller.name,
            "epoch": caller.epoch,
            "kind": kind,
            "iat": now,
            "exp": now + LIVES_S[kind],
            "jti": secrets.token_hex(16),
        }
        if by is not None:
            claims["by"] = [by.name, by.epoch]
        return jwt.encode(claims, self._keys[0], algorithm=_ALGORITHM)

    def read(self, token: str, users: Users, kind: Kind, *, expired: bool = False) -> LoginToken | None:
        """Return what a token says; None if it is not ours, has expired, or its user is gone or changed.

        ``expired``: it may have expired, because it was taken before, and what began with it goes on.
        """
        claims = self._remembered(token) if expired else self._claims(token)
        return None if claims is None else self._checked(claims, users, kind, expired=expired)

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token; None if the signature is not ours."""
        for key in self._keys:
            with suppress(jwt.InvalidTokenError):
                return jwt.decode(
                    token,
                    key,
                    algorithms=[_ALGORITHM],
                    options={"verify_exp": False, "verify_iat": False, "require": ["exp", "sub", "jti"]},
                )
        return None

    def _remembered(self, token: str) -> dict[str, Any] | None:
        digest = hashlib.sha256(self._digest_key + token.encode(errors="surrogatepass")).digest()
        claims = self._verified.get(digest)
        if claims is None and (claims := self._claims(token)) is not None:
            with self._guard:
                self._verified[digest] = claims
                while len(self._verified) > _VERIFIED_MAX:
                    self._verified.popitem(last=False)
        return claims

    def _checked(
        self, claims: dict[str, Any], users: Users, kind: Kind, *, expired: bool
    ) -> LoginToken | None:
        if claims.get("kind") != kind or (claims["exp"] <= self._now_s() and not expired):
            return None
        caller = _still(users, claims["sub"], claims.get("epoch"))
        if caller is None:
            return None
        if "by" in claims:  # who asked for it must still be one who may
            by = _still(users, *claims["by"])
            if by is None or not by.allows(Permission.MANAGE_ARCHIVE):
                return None
        return LoginToken(caller, kind, claims["jti"], claims["exp"])


def _still(users: Users, name: str, epoch: object) -> Caller | None:
    """Return the user of that name, if it has that epoch still."""
    caller = users.caller(name)
    return caller if caller is not None and caller.epoch == epoch else None
