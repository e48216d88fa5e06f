"""Checks passwords, two at a time, on threads of their own: each takes some 0.2 s of a processor.

1. A password that was right is remembered for a minute, by a keyed hash of it: a client that sends it with
   each request costs one check a minute. Requests that send the same one at once wait for one check.
2. A wrong password is answered no sooner than a second after it came, whether there is such a user or not.
3. An address that sends many wrong ones has to wait, and so has everybody when too many checks wait. The
   last quarter of the places is kept for addresses from which somebody has logged in before.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from math import ceil
from time import monotonic
from typing import NamedTuple

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.passwords import NOBODYS, is_right
from yamcs_archive.access.users import Users
from yamcs_archive.errors import UnavailableError, shown
from yamcs_archive.http.access.failed_logins import FailedLogins, network_of
from yamcs_archive.http.errors import HttpError, unauthorized

_log = logging.getLogger(__name__)

CHECKS_AT_ONCE = 2
"""Number of passwords that are checked at once: each takes 32 MiB and a processor."""
CHECKS_WAITING_MAX = 64
"""Largest number of checks that wait or run: the last of them waits some 8 s."""
THREAD_CHECKS_WAITING_MAX = 16
"""The same where each holds a thread, as under WSGI: a quarter of the 64."""
CHECKS_OF_ADDRESS_MAX = 16
"""Largest number of these from one address, a quarter: no single one can keep all others from logging in."""
_KNOWN_MAX = 10_000
"""Number of addresses that are remembered as those from which somebody has logged in."""
REMEMBERED_S = 60
"""Time for which a right password is remembered, in seconds."""
WRONG_S = 1.0
"""Least time until the answer to a wrong password, in seconds."""
_REMEMBERED_MAX = 1_000
"""Number of right passwords that are remembered: those of so many users."""


class _Right(NamedTuple):
    epoch: str
    until_s: float

    def is_of(self, caller: Caller, now_s: float) -> bool:
        """Return whether this is still the caller's password, as far as is remembered."""
        return self.epoch == caller.epoch and now_s < self.until_s


class PasswordChecks:
    """Checks the passwords of a server's users. Safe to use from many threads."""

    def __init__(
        self,
        users: Callable[[], Users],
        now_s: Callable[[], float] = monotonic,
        *,
        waiting_max: int | None = None,
    ) -> None:
        """``waiting_max``: largest number of checks that wait or run; None: 64."""
        self._users, self.now_s = users, now_s
        self._waiting_max = waiting_max
        self._failed = FailedLogins(now_s)
        self._key = secrets.token_bytes(32)
        self._guard = threading.Lock()
        self._remembered: OrderedDict[bytes, _Right] = OrderedDict()
        self._running: dict[tuple[bytes, str], Future[Caller]] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, "yamcs-archive-password")

    def caller(self, name: str, password: str, address: str) -> Caller | Future[Caller]:
        """Return the user with that name and password, at once if they are remembered.

        The future, or this, raises HttpError: 401 for a wrong name or password, 429 for too many wrong ones
        from that address; UnavailableError if too many checks wait.
        """
        digest = self._digest(name, password)
        user = self._users().caller(name)
        key = digest, network_of(address)
        with self._guard:
            right = self._remembered.get(digest)
            if right is not None and user is not None and right.is_of(user, self.now_s()):
                return user
            if (running := self._running.get(key)) is not None:
                return running
            if wait_s := self._failed.wait_s(address):
                raise _too_many(wait_s)
            mine = sum(network == key[1] for _, network in self._running)
            most = CHECKS_WAITING_MAX if self._waiting_max is None else self._waiting_max
            if key[1] not in self._known:
                most -= most // 4
            if len(self._running) >= most or mine >= CHECKS_OF_ADDRESS_MAX:
                raise UnavailableError("too many passwords are being checked: try again later")
            found: Future[Caller] = Future()
            self._running[key] = found
        try:
            self._threads.submit(self._check, found, digest, name, password, address)
        except RuntimeError:  # the threads have ended, or there is no memory for one
            with self._guard:
                self._running.pop(key, None)
            error = UnavailableError("passwords cannot be checked at present: try again later")
            with suppress(InvalidStateError):  # another request may wait for it already
                found.set_exception(error)
            raise error from None
        return found

    def remembered_until_s(self, name: str, password: str) -> float:
        """Return until when a right password is remembered, by ``now_s``; 0 if it is not."""
        with self._guard:
            right = self._remembered.get(self._digest(name, password))
        return 0.0 if right is None else right.until_s

    def _check(self, found: Future[Caller], digest: bytes, name: str, password: str, address: str) -> None:
        """Check a password; on a thread. Whatever happens, the future is completed."""
        key, began_s = (digest, network_of(address)), self.now_s()
        caller: Caller | None = None
        known: Caller | None = None
        error: BaseException | None = None
        try:
            users = self._users()
            known, stored = users.caller(name), users.password_of(name)
            if is_right(password, stored or NOBODYS) and stored is not None:
                caller = known
        except Exception as raised:
            error = raised
        if caller is not None:
            with self._guard:
                self._known[key[1]] = None
                self._known.move_to_end(key[1])
                while len(self._known) > _KNOWN_MAX:
                    self._known.popitem(last=False)
                self._remembered[digest] = _Right(caller.epoch, self.now_s() + REMEMBERED_S)
                while len(self._remembered) > _REMEMBERED_MAX:
                    self._remembered.popitem(last=False)
                self._running.pop(key, None)
            with suppress(InvalidStateError):  # serving has ended meanwhile
                found.set_result(caller)
            return
        if error is None:
            # What is no user's name may be a password that was typed in the wrong field.
            who = "an unknown user" if known is None else f"user {shown(name)}, with a wrong password"
            _log.warning("a login failed: %s, from %s", who, address)
            self._failed.note(address)
            error = unauthorized()
        self._fail_later(found, key, error, WRONG_S - (self.now_s() - began_s))

    def _fail_later(
        self, found: Future[Caller], key: tuple[bytes, str], error: BaseException, wait_s: float
    ) -> None:
        def fail() -> None:
            with self._guard:
                self._running.pop(key, None)
            with suppress(InvalidStateError):  # likewise
                found.set_exception(error)

        timer = threading.Timer(max(0.0, wait_s), fail)  # few at once: as many as are checked in a second
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # there is no memory for a thread
            fail()

    def close(self) -> None:
        """Check no more passwords; those who wait for one get an error."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._guard:
            waiting, self._running = list(self._running.values()), {}
        for found in waiting:
            with suppress(InvalidStateError):  # it has just ended
                found.set_exception(UnavailableError("the server stops"))

    def _digest(self, name: str, password: str) -> bytes:
        text = f"{len(name)}:{name}:{password}"
        # BLAKE2 takes a key by itself; hmac.digest() hands the interpreter to another thread each time.
        return hashlib.blake2b(text.encode(errors="surrogatepass"), key=self._key).digest()


def _too_many(wait_s: float) -> HttpError:
    text = "too many wrong passwords came from this address: try again later"
    return HttpError(429, "TooManyRequestsException", text, (("retry-after", str(ceil(wait_s))),))
