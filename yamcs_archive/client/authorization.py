"""The header ``Authorization`` of the requests to one server, and the login for a token.

1. A password is sent as HTTP Basic first: proxies, archives and Yamcs servers take it. Only a server that
   refuses it without naming Basic as a way to log in (``WWW-Authenticate`` of RFC 9110) is asked for a token,
   as the official client does. From then on the token is sent, and the password only for a new token.
2. A token is renewed shortly before it expires, and when a request with it is refused: by its refresh token,
   else by the password.
3. Tokens are in memory only.
"""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from yamcs_archive.credentials import Credentials, Login, Token
from yamcs_archive.errors import InvalidInputError

TOKEN_PATH = "/auth/token"  # noqa: S105  # a path
FORM = "application/x-www-form-urlencoded"
_EARLY = 0.1
"""The last part of a token's life in which it is renewed, ..."""
_EARLY_S_MAX = 60.0
"""... in seconds at most, as the official client does."""


class Said(NamedTuple):
    """The status and the body of an answer."""

    status: int
    body: bytes


Ask = Callable[[bytes], Said]
"""Posts a form to the path of tokens, without credentials, and returns the answer."""


class _Issued(NamedTuple):
    header: str
    refresh_token: str | None
    renew_at_s: float
    """Monotonic time; infinite if the token does not expire."""


class Authorization:
    """The credentials of one client, and the token that they were exchanged for; any thread may use it."""

    def __init__(
        self, credentials: Credentials | None, ask: Ask, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._credentials, self._ask, self._clock = credentials, ask, clock
        self._guard = threading.Lock()
        self._issued: _Issued | None = None

    def header(self) -> str | None:
        """Return the value for the next request; None without credentials. Raises as ``ask`` does."""
        issued = self._issued
        if issued is not None and self._clock() >= issued.renew_at_s:
            self.renew(issued.header)
            issued = self._issued
        if issued is not None:
            return issued.header
        return None if self._credentials is None else self._credentials.header

    def refused(self, header: str | None, status: int, challenge: str) -> bool:
        """Return whether a request that was answered so may succeed with another header, which there is now.

        ``header`` is the one that the request had, ``challenge`` the answer's ``WWW-Authenticate``.
        """
        if status != http.HTTPStatus.UNAUTHORIZED or not isinstance(self._credentials, Login):
            return False
        if header == self._credentials.header and "basic" in challenge.lower():
            return False  # the server takes passwords: this one is wrong
        return self.renew(header)

    def renew(self, header: str | None) -> bool:
        """Get another token, unless another thread has; return whether the header is another one now."""
        login = self._credentials
        if not isinstance(login, Login):
            return False
        with self._guard:
            if self.header_now != header:
                return True
            issued = self._issued
            if issued is not None and issued.refresh_token is not None:
                form = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token}
                self._issued = self._asked(form)
                if self._issued is not None:
                    return True
            form = {"grant_type": "password", "username": login.user, "password": login.password}
            self._issued = self._asked(form)
            return self._issued is not None

    @property
    def header_now(self) -> str | None:
        """The header without a look at the clock."""
        if self._issued is not None:
            return self._issued.header
        return None if self._credentials is None else self._credentials.header

    def _asked(self, form: dict[str, str]) -> _Issued | None:
        """Return the token that a server issues for a form; None if it issues none."""
        asked_s = self._clock()
        said = self._ask(urlencode(form).encode())
        if said.status != http.HTTPStatus.OK:
            return None
        try:
            fields: Any = json.loads(said.body)
            header = Token(fields["access_token"]).header
            life_s, refresh = fields.get("expires_in"), fields.get("refresh_token")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError, InvalidInputError):
            return None
        if not isinstance(life_s, int | float) or isinstance(life_s, bool) or not life_s > 0:
            life_s = math.inf
        renew_at_s = asked_s + life_s - min(_EARLY * life_s, _EARLY_S_MAX)
        return _Issued(header, refresh if isinstance(refresh, str) and refresh else None, renew_at_s)
