"""The listening socket: owned by this process alone, from before the first request until after the last.

1. It is bound without SO_REUSEPORT. Two servers that share a port would each get a part of the events;
   here the kernel refuses the second one, at the latest when it begins to listen.
2. It listens only when the archive is open: until then the kernel refuses connections, and no client waits in
   vain.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

from yamcs_archive.errors import ArchiveError

BACKLOG_CONNECTIONS = 1024
"""Largest number of connections that wait to be accepted: for many clients that reconnect at once."""


class AddressError(ArchiveError):
    """The address cannot be listened on; the text says why."""

    def __init__(self, host: str, port: int, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "another process listens there; stop it or choose another --port"
        elif getattr(error, "errno", None) == errno.EACCES:
            reason += (
                "; this process may not use the port: choose another --port, or give it the capability"
                " CAP_NET_BIND_SERVICE"
            )
        super().__init__(f"cannot listen on {_in_url(host)}:{port}: {reason}")
        self.host, self.port = host, port


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address, not listening yet; ``port`` 0 takes a free one.

    Raises :class:`AddressError`.

    >>> with bind("127.0.0.1", 0) as socket:
    ...     url_of(socket, "127.0.0.1")
    'http://127.0.0.1:...'
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise AddressError(host, port, error) from None
    try:
        # After a kill the old connections linger; without this they would hold the port for a minute.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _watch(bound)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise AddressError(host, port, error) from None
    return bound


def _watch(bound: socket.socket) -> None:
    """Make the kernel detect clients that disappeared silently, on every accepted connection.

    It probes after a minute of silence, and three times more. Data that the client does not acknowledge for
    two minutes ends the connection.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 60),
        ("TCP_KEEPINTVL", 15),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", 120_000),
    ):
        if hasattr(socket, name):  # not every system has all of them
            bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def listen(bound: socket.socket) -> None:
    """Accept connections from now on; AddressError if another process already listens on this address."""
    try:
        bound.listen(BACKLOG_CONNECTIONS)
        bound.setblocking(False)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise AddressError(host, port, error) from None


def is_loopback(bound: socket.socket) -> bool:
    """Return whether only this machine can reach a socket; see :func:`bind`.

    >>> with bind("127.0.0.1", 0) as socket:
    ...     is_loopback(socket)
    True
    """
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def url_of(bound: socket.socket, host: str, *, tls: bool = False) -> str:
    """Return the URL under which ``host`` reaches the socket; see :func:`bind`."""
    return f"{'https' if tls else 'http'}://{_in_url(host)}:{bound.getsockname()[1]}"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
