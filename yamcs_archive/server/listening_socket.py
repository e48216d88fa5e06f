"""The listening socket: owned by this process alone, from before the first request until after the last.

1. It is bound without SO_REUSEPORT. Two servers that share a port would each get a part of the events;
   here the kernel refuses the second one, at the latest when it begins to listen.
2. It listens only when the archive is open: until then the kernel refuses connections, and no client waits in
   vain. A socket that a service manager passes listens already: its clients wait for the archive to open,
   also while the server is restarted.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Mapping

from yamcs_archive.errors import ArchiveError
from yamcs_archive.server.service_manager import passed_descriptors

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


class PassedSocketError(ArchiveError):
    """What the service manager has passed cannot be listened on; the text says why."""


def passed(environment: Mapping[str, str]) -> socket.socket | None:
    """Return the listening socket that a service manager has opened for this process; None if it has none.

    Raises :class:`PassedSocketError`.

    >>> passed({}) is None
    True
    """
    descriptors = passed_descriptors(environment)
    if not descriptors:
        return None
    if len(descriptors) > 1:
        raise PassedSocketError(
            f"the service manager has passed {len(descriptors)} sockets, and serve listens on one: leave one"
            " ListenStream= in the .socket unit (ListenStream=[::]:PORT is for IPv4 too)"
        )
    try:
        os.set_inheritable(descriptors[0], False)
        found = socket.socket(fileno=descriptors[0])
    except OSError as error:
        raise PassedSocketError(
            f"LISTEN_FDS is 1, but descriptor {descriptors[0]} is no socket: {error.strerror}"
        ) from None
    try:
        _check_passed(found)
        _watch(found)
    except BaseException:
        found.close()
        raise
    return found


def _check_passed(found: socket.socket) -> None:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        what = f"{found.family.name}, {found.type.name}"
        rule = "is not of TCP: ListenStream= must be a port, or ADDRESS:PORT"
        raise PassedSocketError(f"the socket that the service manager has passed ({what}) {rule}")
    if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise PassedSocketError(
            "the socket that the service manager has passed does not listen: leave out Accept=yes"
        )


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
