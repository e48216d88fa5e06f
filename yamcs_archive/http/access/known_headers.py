"""Who sent an ``Authorization`` header that has come before, by a keyed hash of it: one look instead of a
check; no I/O.

1. Neither a header nor a part of it is kept. The key is of this process, so how long a look takes says
   nothing about the headers that are known.
2. What is known holds for one version of the users and until a time of its own, and no longer.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from yamcs_archive.access.callers import Caller

KNOWN_MAX = 1_000
"""Number of headers that are known at once: those of so many users."""
_KEY_BYTES = 32


class Known(NamedTuple):
    """Who sends a header, and for how long that is so."""

    caller: Caller
    version: int
    """The version of the users for which it is so."""
    until_s: float
    """By its clock; from then on it is checked again."""
    now_s: Callable[[], float]
    """The clock: tokens expire by that of the day, and a password is remembered for a minute that passes."""


class KnownHeaders:
    """The headers that were right lately. Safe to use from many threads.

    >>> headers = KnownHeaders()
    >>> digest = headers.digest("Basic YWRhOnNlY3JldA==")
    >>> headers.note(digest, Known("ada", 1, 60.0, lambda: 0.0))
    >>> headers.caller(digest, 1), headers.caller(digest, 2)
    ('ada', None)
    """

    def __init__(self, known_max: int = KNOWN_MAX) -> None:
        self._known_max = known_max
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._guard = threading.Lock()
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def digest(self, header: str) -> bytes:
        """Return what is kept of a header: SHA-256 of the key and of it.

        Nobody is ever told a digest, so that it could be extended does not matter. HMAC and BLAKE2 take twice
        the time, and ``hmac.digest`` hands the interpreter to another thread each time as well.
        """
        return hashlib.sha256(self._key + header.encode(errors="surrogatepass")).digest()

    def caller(self, digest: bytes, version: int) -> Caller | None:
        """Return who sends a header, if that is known for this version of the users."""
        known = self._known.get(digest)
        if known is None or known.version != version or known.now_s() >= known.until_s:
            return None
        return known.caller

    def note(self, digest: bytes, known: Known) -> None:
        """Remember who sends a header; of too many the one that was noted first is forgotten."""
        with self._guard:
            self._known[digest] = known
            while len(self._known) > self._known_max:
                self._known.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        with self._guard:
            self._known.clear()

    def __len__(self) -> int:
        return len(self._known)
