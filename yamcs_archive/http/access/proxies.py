"""What a trusted proxy says: the address of the client, and who the user is.

Everybody can send these headers, so they count only in requests from the addresses of the proxies.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.request_and_response import Head

_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*", re.ASCII)
_RESERVED = frozenset(
    ("authorization", "connection", "content-length", "content-type", "cookie", "host", "origin", "x-api-key")
)
_KEPT = 1024
"""Number of addresses of which is remembered whether they are a proxy's."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """The trusted proxies. Raises InvalidInputError for a value that is no address, network or header.

    ``addresses`` are addresses or networks (``10.0.0.0/8``); ``user_header`` has the name of the user.

    >>> proxies = Proxies(["192.0.2.1"], "X-User")
    >>> head = Head("GET", "/", "", {"x-forwarded-for": "198.51.100.7", "x-user": "ada"}, "192.0.2.1")
    >>> proxies.client(head), proxies.user(head)
    ('198.51.100.7', 'ada')
    >>> proxies.user(Head("GET", "/", "", head.headers, "198.51.100.9")) is None
    True
    """

    def __init__(self, addresses: Iterable[str] = (), user_header: str | None = None) -> None:
        self._networks = [_network(address) for address in addresses]
        if user_header is not None and not self._networks:
            rule = "needs the address of the proxy that sets it (--trust-proxy), or everybody could"
            raise InvalidInputError("user_header", user_header, rule)
        self._user_header = None if user_header is None else checked_user_header(user_header).lower()
        self._trusted = lru_cache(_KEPT)(self._is_trusted)

    def client(self, head: Head) -> str:
        """Return the address of a request's client: of those forwarded the last that is no proxy's."""
        address = head.address
        if not self._networks or not self._trusted(address):
            return address
        for forwarded in reversed(head.headers.get("x-forwarded-for", "").split(",")):
            found = _bare(forwarded)
            if found is None:
                break
            address = found
            if not self._trusted(address):
                break
        return address

    def user(self, head: Head) -> str | None:
        """Return who a trusted proxy says that the user is; None if it says nothing."""
        if self._user_header is None or not self._trusted(head.address):
            return None
        name = head.headers.get(self._user_header, "").strip()
        with suppress(UnicodeError):  # headers are read as latin-1, and proxies write names in UTF-8
            name = name.encode("latin-1").decode()
        return name or None

    def is_secure(self, head: Head) -> bool:
        """Return whether the client's connection is encrypted, as far as is known."""
        if head.scheme in ("https", "wss"):
            return True
        said = head.headers.get("x-forwarded-proto", "").strip().lower()
        return bool(self._networks) and self._trusted(head.address) and said == "https"

    def _is_trusted(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks if network.version == found.version)


NO_PROXIES = Proxies()


def checked_user_header(name: str) -> str:
    """Return the name of a header that may name the user; InvalidInputError for any other text.

    >>> checked_user_header("X-Remote-User")
    'X-Remote-User'
    """
    if not _HEADER.fullmatch(name) or name.lower() in _RESERVED:
        rule = "must be the name of a header that the proxy sets, as X-Remote-User"
        raise InvalidInputError("user_header", name, rule)
    return name


def _network(address: str) -> _Network:
    try:
        found = ipaddress.ip_network(address)
    except ValueError:
        rule = "must be the address of a proxy, or a network as 10.0.0.0/8"
        raise InvalidInputError("trust_proxy", address, rule) from None
    if not found.prefixlen:
        raise InvalidInputError("trust_proxy", address, "is every address: then anybody could name the user")
    return found


def _bare(forwarded: str) -> str | None:
    """Return an address of X-Forwarded-For without its port; None for anything else.

    >>> _bare(" 192.0.2.1:80"), _bare("[2001:db8::1]:80"), _bare("unknown")
    ('192.0.2.1', '2001:db8::1', None)
    """
    text = forwarded.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
