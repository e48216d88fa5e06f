"""Whether a client takes what is sent to it: one that takes too little for half a minute is cut off.

What a server has handed to the kernel may wait there for long, so what the kernel has not sent counts as
well. A connection is looked at only while its buffer is full.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress

from yamcs_archive.http.limits import SENT_BYTES_MIN, SENT_PERIOD_S


class SendingWatch:
    """Aborts a connection whose client takes too little. For one connection, in its event loop.

    ``begin`` when the transport's buffer is full, ``end`` when it has room again.
    """

    __slots__ = ("_before", "_loop", "_timer", "_transport")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop, self._transport = loop, transport
        self._timer: asyncio.TimerHandle | None = None
        self._before = 0

    def begin(self) -> None:
        """Look from now on."""
        if self._timer is None:
            self._before = self._waiting_bytes()
            self._timer = self._loop.call_later(SENT_PERIOD_S, self._look)

    def end(self) -> None:
        """Look no longer; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        # While the buffer is full nothing is added, so what is less was taken.
        if self._before - self._waiting_bytes() < SENT_BYTES_MIN:
            self._abort()
        else:
            self.begin()

    def _abort(self) -> None:
        """End the connection, and have the kernel forget what it has not sent: to close it would wait."""
        if (connection := self._transport.get_extra_info("socket")) is not None:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _waiting_bytes(self) -> int:
        waiting = self._transport.get_write_buffer_size()
        if (connection := self._transport.get_extra_info("socket")) is not None:
            with suppress(OSError):  # not every system tells
                found = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
                waiting += struct.unpack("i", found)[0]
        return waiting
