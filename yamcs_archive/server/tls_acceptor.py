"""Accepts connections for TLS. How many handshakes go on at once is limited, and the time of each.

A connection counts as one only after its handshake, so a client that begins handshakes and never ends them
would be counted nowhere. Where too many are under way the oldest one ends: a handshake takes some
milliseconds, unless its client wants to be in the way.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from yamcs_archive.http.limits import HANDSHAKE_S_MAX, HANDSHAKES_MAX
from yamcs_archive.server.connections import NO_DESCRIPTOR
from yamcs_archive.server.tls import TlsContext

_CLOSE_S = 1.0
"""Longest time that a connection waits for its client's part of the close, in seconds: a stop waits too."""
_PAUSE_S = 0.1
"""Seconds until the next try after a connection could not be accepted, as for lack of descriptors."""


class TlsAcceptor:
    """Accepts connections until it is closed; has the methods of an :class:`asyncio.Server` for that.

    ``make`` makes the protocol of a connection. To be used in a running loop.
    """

    def __init__(
        self, listening: socket.socket, make: Callable[[], asyncio.Protocol], context: TlsContext
    ) -> None:
        self._listening, self._make, self._context = listening, make, context
        self._shaking: dict[asyncio.Task[None], socket.socket] = {}
        self._accepting = asyncio.ensure_future(self._accept())

    def close(self) -> None:
        """Accept no more, and end the handshakes under way."""
        self._accepting.cancel()
        for connection in self._shaking.values():
            _end(connection)

    async def wait_closed(self) -> None:
        """Return when nothing is left of it."""
        await asyncio.wait({self._accepting, *self._shaking})

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await sock_accept(loop, self._listening)
            except OSError as error:  # or the client has left already
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._context.refused("503 ServiceUnavailableException", NO_DESCRIPTOR)
                await asyncio.sleep(_PAUSE_S)
                continue
            if len(self._shaking) >= HANDSHAKES_MAX:
                _end(next(iter(self._shaking.values())))
            task = asyncio.ensure_future(self._shake(connection))
            self._shaking[task] = connection
            task.add_done_callback(self._shaking.pop)

    async def _shake(self, connection: socket.socket) -> None:
        # What fails was told by the context; there is nothing to add.
        with suppress(OSError, TimeoutError):
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S_MAX,
                ssl_shutdown_timeout=_CLOSE_S,
            )


async def sock_accept(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> tuple[socket.socket, Any]:
    """Accept one connection."""
    return await loop.sock_accept(listening)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
