"""The names of this server: a request with another name in its Host header is refused.

A web page can have its own name resolve to this server's address (DNS rebinding). The browser then takes this
server for the page's own, and sends the page's requests without asking. Only the name in ``Host`` reveals it.

1. An IP address cannot be rebound; ``localhost`` and names that end with ``.localhost`` are this machine
   (RFC 6761, 6.3). These are accepted. So is a request without ``Host``, because every browser sends it.
2. Every other name must be given: as the address to listen on, in a listed origin, or as an allowed host.
3. Only ``Host`` is looked at: a page can send the other headers of proxies as well.
4. With users, a rebound page could do nothing without a login, so names are refused only if some are listed;
   then every name and address must be, but for those of this machine.
5. If everybody in a network may use the server (``serve --insecure``), an address must be the one to which
   the client connected, and the machine's own name is accepted.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from functools import lru_cache

from yamcs_archive.errors import InvalidInputError, shown

_HOST = re.compile(r"(\[[^\[\]@/]*\]|[^\[\]:@/,\s]*)(:[0-9]{0,5})?", re.ASCII)
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.ASCII)
_NAME_CHARACTERS_MAX = 253
"""Longest name in the DNS, in characters (RFC 1035, 2.3.4)."""
_HOST_CHARACTERS_MAX = 300
"""Longest ``Host`` header that is examined, in characters: a name, a port, and some room."""
_KEPT_HOSTS = 256
"""Number of results that are remembered: clients use one name for the server, or a few."""


class Hosts:
    """The accepted names. Raises InvalidInputError for a value that is no name, and for ``*``.

    An allowed host that begins with a dot means the name after the dot, and all names that end with dot and
    name. The hosts of ``origins`` are accepted as well.

    >>> hosts = Hosts(["archive.example", ".ops.example"])
    >>> [hosts.refusal({"host": host}) for host in ("archive.example:8090", "a.ops.example.", "[::1]")]
    [None, None, None]
    >>> print(hosts.refusal({"host": "evil.example"}))
    host 'evil.example': is not a name of this server; if it should be, start the server with ...
    """

    def __init__(
        self,
        allowed: Iterable[str] = (),
        *,
        origins: Iterable[str] = (),
        anything: bool = False,
        addresses: bool = True,
        own_names: bool = False,
    ) -> None:
        """``anything``: every request is accepted (rule 4). ``addresses``: each IP address is (rule 1); else
        only the one to which the client connected, and those of loopback. ``own_names``: the machine's are.
        """
        given = [_checked(name) for name in allowed]
        self._names = {name.removeprefix(".") for name in given} | {"", "localhost"}
        self._names |= {_name_of(origin.partition("://")[2]) or "" for origin in origins}
        self._anything, self._any_address = anything, addresses
        if own_names:
            self._names |= {name.lower() for name in (socket.gethostname(), socket.getfqdn())}
        self._suffixes = (".localhost", *(name for name in given if name.startswith(".")))
        self._ours = lru_cache(_KEPT_HOSTS)(self._is_ours)

    def refusal(self, headers: Mapping[str, str], server: str = "") -> str | None:
        """Return why a request with these headers is refused; None if it is accepted.

        Several Host headers come joined by commas, which no name has. ``server`` is the address to which the
        client connected.
        """
        host = headers.get("host", "")
        if self._anything or (len(host) <= _HOST_CHARACTERS_MAX and self._ours(host, server)):
            return None
        return (
            f"host {shown(host)}: is not a name of this server; if it should be, start the server with"
            " --allowed-host NAME (allowed_hosts= when embedded)"
        )

    def _is_ours(self, host: str, server: str) -> bool:
        name = _name_of(host.strip(" \t"))
        if name is None:
            return False
        if name in self._names or name.endswith(self._suffixes):
            return True
        address = _address(name)
        if address is None:
            return False
        return self._any_address or address.is_loopback or address == _address(server)


def names_of(address: str) -> tuple[str, ...]:
    """Return the name in an address to listen on, to be accepted as well; nothing for an IP address.

    >>> names_of("ops.example"), names_of("0.0.0.0"), names_of("::1")
    (('ops.example',), (), ())
    """
    try:
        return () if _is_address(address) else (_checked(address),)
    except InvalidInputError:
        return ()


def _name_of(host: str) -> str | None:
    """Return the name in a Host header, in lower case, without port and final dot; None for any other text.

    >>> _name_of("Ops.Example.:8090"), _name_of("[::1]:80"), _name_of("localhost@evil.example")
    ('ops.example', '[::1]', None)
    """
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    name = match[1].lower()
    if name.startswith("[") or not name:
        return name
    name = name.removesuffix(".")
    return name if name and not name.endswith(".") else None


def _is_address(name: str) -> bool:
    """Return whether a name is an IP address as in a URL: one of IPv6 is in brackets."""
    return name.startswith("[") == (":" in name) and _address(name) is not None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host, or this end of a connection, is; None for a name."""
    try:
        found = ipaddress.ip_address(name[1:-1] if name.startswith("[") else name.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _checked(given: str) -> str:
    if given == "*":
        rule = "would let pages of any name read and write here: name the hosts"
        raise InvalidInputError("allowed_host", given, rule)
    name = given.lower().removesuffix(".")
    bare = name.removeprefix(".")
    if not ((_NAME.fullmatch(bare) and len(bare) <= _NAME_CHARACTERS_MAX) or _is_address(name)):
        rule = "must be NAME or .SUFFIX, as ops.example or .example: no port, no path, and in ASCII (xn--…)"
        raise InvalidInputError("allowed_host", given, rule)
    return name
