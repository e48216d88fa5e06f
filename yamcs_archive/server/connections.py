"""All connections of a server: how many there are, and which have waited longest for a request.

Where there are too many, one that waits ends for the new one, as clients expect of idle connections. So
clients that open connections and send nothing take no place from others for long.
"""

from __future__ import annotations

import resource
import socket
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from yamcs_archive.http.limits import (
    CONNECTIONS_MAX,
    DESCRIPTORS_LEFT_MIN,
    DESCRIPTORS_OWN,
    EVICTED_IDLE_S,
)

NO_DESCRIPTOR = (
    "this server has as many connections as it may have open files: close some, or raise the limit of its"
    " process (ulimit -n, LimitNOFILE= in a systemd unit)"
)


class Closable(Protocol):
    """A connection that can be ended."""

    def end(self) -> None:
        """End it at once."""


class Connections:
    """The connections that wait for a request, the longest waiting first. For one event loop.

    >>> Connections(connections_max=2).refusal(5, None)
    '2 connections are open, the limit: close some, or try again later'
    """

    def __init__(
        self, connections_max: int = CONNECTIONS_MAX, refused: Callable[[str, str], None] | None = None
    ) -> None:
        self.connections_max = connections_max
        self.refused: Callable[[str, str], None] = refused or _ignore
        self._waiting: OrderedDict[Closable, float] = OrderedDict()

    def wait(self, one: Closable) -> None:
        """Note that a connection waits for a request from now on."""
        self._waiting[one] = monotonic()

    def go_on(self, one: Closable) -> None:
        """Note that it waits no longer: a request has come, or it has ended."""
        self._waiting.pop(one, None)

    def refusal(self, count: int, connection: socket.socket | None) -> str | None:
        """Return why a new connection is refused; None if it is not.

        ``count`` connections are open, with the new one. One that waits ends if it must.
        """
        is_last = connection is not None and _is_last(connection)
        if count <= self.connections_max and not is_last:
            return None
        if self._end_longest():
            return None
        if is_last:
            return NO_DESCRIPTOR
        return f"{self.connections_max} connections are open, the limit: close some, or try again later"

    def _end_longest(self) -> bool:
        """End the connection that has waited longest for a request; False if none has waited for long."""
        for one, since_s in self._waiting.items():
            if monotonic() - since_s < EVICTED_IDLE_S:
                break
            del self._waiting[one]
            one.end()
            return True
        return False


def _ignore(_kind: str, _why: str) -> None:
    pass


def _is_last(connection: socket.socket) -> bool:
    """Return whether a connection has one of the last descriptors: the system gives the lowest free one."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit != resource.RLIM_INFINITY and connection.fileno() >= limit - DESCRIPTORS_LEFT_MIN


def raise_descriptor_limit(connections_max: int) -> int:
    """Let the process have as many open files as that many connections need, if the system allows it.

    Returns the number of connections for which the files suffice, at most ``connections_max``. Systems start
    programs with 1,024 files for the sake of ``select``, which this one does not use.

    >>> raise_descriptor_limit(1)
    1
    """
    wanted = connections_max + DESCRIPTORS_OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite: Any = resource.RLIM_INFINITY
    if soft != infinite and soft < wanted:
        soft = wanted if hard == infinite else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == infinite or soft >= wanted:
        return connections_max
    return max(1, soft - DESCRIPTORS_OWN)
