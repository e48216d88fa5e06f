"""Receives the whole body of a request from an ASGI server, and counts it while it is held.

1. A body that comes at once, as most do, costs nothing and waits for nothing.
2. A large one waits, unread, until there is room for its Content-Length; a smaller one that comes in parts is
   counted as its parts come. No body is received beyond its limit.
3. What is counted is given back exactly once.

How long a body may take is the server's to limit (``server.connection_limits``).
"""

from __future__ import annotations

from yamcs_archive.http.admission import BodyBudget
from yamcs_archive.http.asgi_threads import Receive
from yamcs_archive.http.errors import BodyTooLargeError, CutOffError
from yamcs_archive.http.limits import BODIES_BYTES_MAX, PARTIAL_BODIES_BYTES_MAX, QUICK_BODY_BYTES_MAX


class BodyBudgets:
    """The room for the bodies of one server."""

    def __init__(self) -> None:
        self.large = BodyBudget(BODIES_BYTES_MAX)
        self.partial = BodyBudget(PARTIAL_BODIES_BYTES_MAX)


class WholeBody:
    """The body of one request, in its event loop."""

    __slots__ = ("_budgets", "_large_bytes", "_partial_bytes", "_receive")

    def __init__(self, budgets: BodyBudgets, receive: Receive) -> None:
        self._budgets, self._receive = budgets, receive
        self._large_bytes = self._partial_bytes = 0

    async def read(self, length: int | None, bytes_max: int) -> bytes:
        """Return the body; ``length`` is its Content-Length, None if it comes in chunks.

        Raises an ArchiveError to refuse the request with: UnavailableError without room,
        :class:`BodyTooLargeError`, and :class:`CutOffError` if it ends too early.
        """
        if length is not None and length > QUICK_BODY_BYTES_MAX:
            await self._budgets.large.enter(length)
            self._large_bytes = length
        parts: list[bytes] = []
        received = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                # The client is gone; or it is still there, and its chunks are malformed: a server that got no
                # answer would report a fault of its own.
                raise CutOffError(received, length)
            part: bytes = message.get("body", b"")
            received += len(part)
            if received > bytes_max:
                raise BodyTooLargeError()
            if not message.get("more_body", False):
                if length is not None and received < length:
                    raise CutOffError(received, length)
                return b"".join((*parts, part))
            parts.append(part)
            self._count(received)

    def _count(self, received: int) -> None:
        """Count what has come of a body that is not whole."""
        if received <= QUICK_BODY_BYTES_MAX:
            if not self._large_bytes:
                more = received - self._partial_bytes
                self._partial_bytes = received
                self._budgets.partial.add(more)
        elif (more := received - self._large_bytes) > 0:
            self._large_bytes = received
            self._budgets.large.add(more)

    def let_go(self) -> None:
        """Give back what is counted; idempotent."""
        large, self._large_bytes = self._large_bytes, 0
        partial, self._partial_bytes = self._partial_bytes, 0
        if large:
            self._budgets.large.leave(large)
        if partial:
            self._budgets.partial.leave(partial)
