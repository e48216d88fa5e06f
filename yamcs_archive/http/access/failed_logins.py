"""How many wrong passwords an address may send: ten at once, and one more every six seconds."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

FAILED_LOGINS_MAX = 10
"""Wrong passwords from one address before it has to wait: people mistype some, and share addresses."""
FAILED_LOGIN_S = 6
"""Time after which an address may send one more wrong password, in seconds: 14,400 guesses a day."""
_ADDRESSES_MAX = 10_000
"""Number of addresses that are remembered: those that failed last."""
_NETWORK_BITS = 64
"""Bits of an IPv6 address that count: whoever has one has all addresses with the same first half."""


class FailedLogins:
    """The addresses that sent wrong passwords lately. Safe to use from many threads.

    >>> failed = FailedLogins(now_s=lambda: 0.0)
    >>> for _ in range(FAILED_LOGINS_MAX):
    ...     failed.note("192.0.2.1")
    >>> failed.wait_s("192.0.2.1"), failed.wait_s("192.0.2.2")
    (6.0, 0.0)
    """

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._guard = threading.Lock()
        self._free_at: OrderedDict[str, float] = OrderedDict()
        """When the last failure of an address will be forgotten: each adds FAILED_LOGIN_S."""

    def wait_s(self, address: str) -> float:
        """Return how many seconds an address must wait before it may try a password; 0 if it may now."""
        with self._guard:
            free_at = self._free_at.get(network_of(address), 0.0)
        return max(0.0, free_at - self._now_s() - (FAILED_LOGINS_MAX - 1) * FAILED_LOGIN_S)

    def note(self, address: str) -> None:
        """Count a wrong password."""
        network, now_s = network_of(address), self._now_s()
        with self._guard:
            self._free_at[network] = max(now_s, self._free_at.pop(network, now_s)) + FAILED_LOGIN_S
            while len(self._free_at) > _ADDRESSES_MAX:
                self._free_at.popitem(last=False)


def network_of(address: str) -> str:
    """Return what counts of an address.

    >>> network_of("2001:db8:1:2:3::4"), network_of("::ffff:192.0.2.1"), network_of("192.0.2.1")
    ('2001:db8:1:2::', '192.0.2.1', '192.0.2.1')
    """
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _NETWORK_BITS), strict=False).network_address)
