"""From the head of a request to its caller, by the users file as it is now.

1. What the files say is known by :mod:`~yamcs_archive.http.access.current_users`: a change counts at once,
   or, if the users are many, when they were read.
2. Everything that is remembered holds for one version of the users: a change of them, of their tokens or
   of the ended logins is another version.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from time import time
from typing import NamedTuple

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.login_tokens import Kind, LoginTokens
from yamcs_archive.access.permissions import Permission
from yamcs_archive.access.users import TOKEN_PREFIX, Users
from yamcs_archive.errors import shown
from yamcs_archive.http.access.current_users import CurrentUsers
from yamcs_archive.http.access.known_headers import Known, KnownHeaders
from yamcs_archive.http.access.password_checks import PasswordChecks
from yamcs_archive.http.access.presented import Means, Presented, counting_header, presented
from yamcs_archive.http.access.proxies import Proxies
from yamcs_archive.http.errors import forbidden, unauthorized
from yamcs_archive.http.request_and_response import Head

_PAIR_S = 440
"""Time for which a new pair of tokens is given again for the same refresh token, in seconds: the life of the
access token, less the minute in which clients renew it."""
_PAIRS_MAX = 1_000
"""Number of new pairs that are remembered."""
_ENDED_MAX = 100_000
"""Number of ended logins of pages that are remembered until they expire."""


class Pair(NamedTuple):
    """A new access token, and the refresh token for the next one; None: it cannot be renewed."""

    access: str
    refresh: str | None
    caller: Caller


class Authentication:
    """The users of a server. Safe to use from many threads.

    Raises InvalidInputError if the users file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        proxies: Proxies,
        now_s: Callable[[], float] = time,
        *,
        checks_waiting_max: int | None = None,
    ) -> None:
        self.proxies, self._now_s = proxies, now_s
        self._guard = threading.Lock()
        self._version = 0
        self._files = CurrentUsers(path, now_s, self._change)
        self._headers = KnownHeaders()
        self._pairs: OrderedDict[str, tuple[Pair, float]] = OrderedDict()
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._listeners: list[Callable[[], None]] = []
        self.checks = PasswordChecks(self.users, waiting_max=checks_waiting_max)

    def users(self) -> Users:
        """Return the users as they are in the file now."""
        return self._files.look().users

    def caller(self, head: Head) -> Caller | Future[Caller] | None:
        """Return who sends a request; None if it does not say so.

        The future, or this, raises HttpError for credentials that are wrong: 401, 403 or 429.
        """
        name = self.proxies.user(head)
        if name is not None:
            return self._named_by_proxy(name)
        header = counting_header(head.headers)
        if header is None:
            return None
        digest = self._headers.digest(header)
        version = self.version()  # before anything is found out: what changes meanwhile is of a later one
        known = self._headers.caller(digest, version)
        if known is not None:
            return known
        given = presented(head.headers)
        if given is None:
            return None
        found, until_s, now_s = self._presented(given, head)
        if isinstance(found, Caller):
            self._headers.note(digest, Known(found, version, until_s, now_s))
        return found

    def _presented(
        self, given: Presented, head: Head
    ) -> tuple[Caller | Future[Caller], float, Callable[[], float]]:
        """Return who presents something, until when that is so, and by which clock; HttpError if nobody."""
        if given.means is Means.PASSWORD:
            found = self.checks.caller(given.name, given.secret, self.proxies.client(head))
            is_known = isinstance(found, Caller)
            until_s = self.checks.remembered_until_s(given.name, given.secret) if is_known else 0.0
            return found, until_s, self.checks.now_s
        token = self._with_token(given)
        if token is None:
            error = unauthorized()
            error.why = f"a wrong {given.means.name.lower()}, from {self.proxies.client(head)}"
            raise error
        return *token, self._now_s

    def version(self) -> int:
        """Return a number that is another one after users, tokens or ended logins have changed."""
        self._files.look()
        return self._version

    def still(self, caller: Caller, head: Head) -> Caller | None:
        """Return the caller of an earlier request with the rights of now; None if that login has ended.

        That a login token has expired meanwhile does not count: what began with it may go on.
        """
        given = None if self.proxies.user(head) is not None else presented(head.headers)
        if given is not None and given.means is not Means.PASSWORD:
            token = self._with_token(given, expired=True)
            found = None if token is None else token[0]
        else:
            found = self.users().caller(caller.name)
        if found is None or (found.name, found.epoch) != (caller.name, caller.epoch):
            return None
        return found

    def with_password(self, name: str, password: str, head: Head) -> Caller | Future[Caller]:
        """Return the user with that name and password, as :meth:`caller` does."""
        return self.checks.caller(name, password, self.proxies.client(head))

    def login(self, caller: Caller) -> Pair:
        """Return tokens for a user who has just logged in."""
        return _pair(self._files.look_at_both().tokens, caller)

    def renewed(self, refresh: str) -> Pair | None:
        """Return new tokens for a refresh token, the same ones if it comes again; None if it is wrong."""
        snapshot = self._files.look_at_both()
        found = snapshot.tokens.read(refresh, snapshot.users, Kind.REFRESH)
        if found is None:
            return None
        now_s = self._now_s()
        with self._guard:
            known = self._pairs.get(found.number)
            if known is not None and now_s < known[1] and known[0].caller.epoch == found.caller.epoch:
                return known[0]
            pair = _pair(snapshot.tokens, found.caller)
            self._pairs[found.number] = pair, now_s + _PAIR_S
            while len(self._pairs) > _PAIRS_MAX:
                self._pairs.popitem(last=False)
        return pair

    def become(self, caller: Caller, name: str) -> Pair:
        """Return a token of another user for somebody who manages the archive; HttpError."""
        other = self.users().caller(name)
        if not caller.allows(Permission.MANAGE_ARCHIVE) or other is None:
            raise forbidden(f"user {shown(caller.name)} may not become {shown(name)}")
        return Pair(self._files.look_at_both().tokens.make(other, Kind.ACCESS, by=caller), None, other)

    def session(self, caller: Caller) -> str:
        """Return the value of the cookie for a login of the page."""
        return self._files.look_at_both().tokens.make(caller, Kind.SESSION)

    def end_session(self, cookie: str) -> None:
        """End a login of the page; nothing for one that has ended."""
        snapshot = self._files.look_at_both()
        found = snapshot.tokens.read(cookie, snapshot.users, Kind.SESSION)
        if found is None:
            return
        with self._guard:
            now_s = self._now_s()
            while self._ended and (
                len(self._ended) >= _ENDED_MAX or next(iter(self._ended.values())) <= now_s
            ):
                self._ended.popitem(last=False)
            self._ended[found.number] = found.expires
            self._version += 1
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def _named_by_proxy(self, name: str) -> Caller:
        caller = self.users().caller(name)
        if caller is None:
            raise forbidden(f"user {shown(name)}, whom the proxy names, is not a user of this server")
        return caller

    def _with_token(self, given: Presented, *, expired: bool = False) -> tuple[Caller, float] | None:
        """Return the caller with a token, and when that ends; ``expired``: it may have ended."""
        snapshot = self._files.look()
        if given.means is Means.KEY or given.secret.startswith(TOKEN_PREFIX):
            usable = given.means in (Means.KEY, Means.TOKEN)
            caller = snapshot.users.caller_with_token(given.secret) if usable else None
            return None if caller is None else (caller, math.inf)
        if given.means is Means.UNREADABLE:
            return None
        kind = Kind.SESSION if given.means is Means.SESSION else Kind.ACCESS
        found = snapshot.tokens.read(given.secret, snapshot.users, kind, expired=expired)
        if found is None:  # perhaps by a key that is new
            snapshot = self._files.look_at_both()
            found = snapshot.tokens.read(given.secret, snapshot.users, kind, expired=expired)
        if found is None or found.number in self._ended:
            return None
        return found.caller, found.expires

    def reload(self) -> None:
        """Read the files again if they changed, and wait for that; if that fails, keep what was read before,
        and say so once.
        """
        self._files.reload()

    def _change(self) -> None:
        """Begin a new version: the users or the keys have changed."""
        with self._guard:
            self._version += 1
            self._headers.clear()
            self._pairs.clear()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a function called, on any thread, each time after the users have changed.

        From now on a thread looks at the file even if nobody sends requests.
        """
        with self._guard:
            self._listeners.append(listener)
        self._files.watch()

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Have a function called no more; nothing if it was not to be called."""
        with self._guard, suppress(ValueError):
            self._listeners.remove(listener)

    def close(self) -> None:
        """End the threads: serving ends."""
        self._files.close()
        self.checks.close()


def _pair(tokens: LoginTokens, caller: Caller) -> Pair:
    return Pair(tokens.make(caller, Kind.ACCESS), tokens.make(caller, Kind.REFRESH), caller)
