"""Forked children: each handler begins anew there, and nothing is stored twice or lost.

1. What waited at the moment of the fork is the parent's, which stores it. The child begins with nothing.
2. A handler of a URL makes connections of its own in the child.
3. An archive in a directory has one process that writes. Its child sends what it logs to its parent, through
   a pair of sockets made for the fork, and takes it for stored when the parent says that it is. A child's
   child sends to the child. The messages are lines: JSON, and one byte as the answer.
4. When the parent ends, or closes its handler, its children have no way to store records: they drop them, and
   say so once.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from threading import get_ident
from typing import Any

from yamcs_archive.fitting import text_of
from yamcs_archive.logging.buffer import Buffer, Item

_STORED = b"\n"
_LOOK_AGAIN_S = 1.0


class ParentPlace:
    """Where the records of a forked child go: to its parent."""

    def __init__(self, connection: socket.socket | None, parents: object) -> None:
        """``connection`` is None if none could be made; ``parents`` is the place of the parent.

        That is only kept, and never closed: what the parent has opened must stay as it is.
        """
        self._connection, self._parents = connection, parents

    @property
    def is_gone(self) -> bool:
        """Whether the parent takes no records any more."""
        return self._connection is None

    def prepared(self, records: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return them as they are."""
        return records

    def store(self, batch: list[tuple[Any, ...]]) -> int:
        """Send the records, and wait until the parent has stored them."""
        if self._connection is None:
            raise ConnectionError("the process that has the archive takes no records of this child")
        try:
            self._connection.sendall(json.dumps(batch, default=text_of).encode() + b"\n")
            if self._connection.recv(1) != _STORED:
                raise ConnectionResetError(
                    "the process that has the archive has ended, or closed its handler"
                )
        except OSError:
            self.close()
            raise
        batch.clear()
        return 0

    def renew(self, error: Exception) -> None:
        """Nothing can be different."""

    def close(self) -> None:
        """Tell the parent that nothing more comes."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __str__(self) -> str:
        return f"{self._parents}, by way of the parent of this process"


class Children:
    """The forked children that send their records to this process."""

    def __init__(self, buffer: Buffer, stored: Callable[[], bool], put: Callable[[], object]) -> None:
        """``put`` is called after something was put; ``stored`` waits a moment until it is stored."""
        self._buffer, self._stored, self._put = buffer, stored, put
        self._connections: set[socket.socket] = set()
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}  # by the thread that forks

    def before_fork(self) -> None:
        """Make the sockets of a child, if the system can."""
        with suppress(OSError):
            self._pairs[get_ident()] = socket.socketpair()

    def after_in_parent(self) -> None:
        """Begin to take the records of the child."""
        pair = self._pairs.pop(get_ident(), None)
        if pair is None:
            return
        mine, its = pair
        its.close()
        self._connections.add(mine)
        with suppress(
            RuntimeError
        ):  # no thread can be started: the child is told by the end of the connection
            threading.Thread(
                target=self._serve, args=(mine,), name="yamcs-archive-logging-child", daemon=True
            ).start()
            return
        self._end(mine)

    def after_in_child(self) -> socket.socket | None:
        """Return the child's socket, and close those of the parent."""
        pair = self._pairs.pop(get_ident(), None)
        for connection in chain(self._connections, *self._pairs.values()):
            connection.close()
        if pair is None:
            return None
        pair[0].close()
        return pair[1]

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection.makefile("rb") as stream:
                for line in stream:
                    if not line.endswith(b"\n"):
                        return  # the child died while it sent
                    for values in json.loads(line):
                        self._keep((tuple(values), _size(values)))
                    self._put()
                    while not self._stored():
                        if self._buffer.closed:
                            return
                    connection.sendall(_STORED)
        except OSError:
            pass  # the child has ended
        finally:
            self._end(connection)

    def _keep(self, item: Item) -> None:
        while not self._buffer.put_within(item, _LOOK_AGAIN_S):
            self._put()
            if self._buffer.closed:
                raise ConnectionAbortedError

    def _end(self, connection: socket.socket) -> None:
        self._connections.discard(connection)
        connection.close()

    def close(self) -> None:
        """Take nothing more."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _size(values: list[Any]) -> int:
    return 1_000 + sum(len(value) for value in values if isinstance(value, str))
