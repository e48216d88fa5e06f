"""Bodies of single requests in memory: how many bytes together, from when they come until they are answered.

For one event loop. A large body of a known length waits, unread, until there is room for all of it; so who
is let in waits for nobody but its client. One whose length nobody knows can only be refused.
"""

from __future__ import annotations

import asyncio
from collections import deque

from yamcs_archive.limits import BODIES_BYTES_MAX, BODY_WAIT_S


class Bodies:
    """The bytes of all bodies that are held.

    >>> bodies = Bodies(bytes_max=10)
    >>> asyncio.run(bodies.enter(8)), bodies.add(2), bodies.add(1), bodies.held
    (True, True, False, 11)
    """

    def __init__(self, bytes_max: int = BODIES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0

    async def enter(self, size_bytes: int, wait_s: float = BODY_WAIT_S) -> bool:
        """Hold so much, waiting for room in the order of asking; False, and nothing held, after some time."""
        if not self._waiting and self._fits(size_bytes):
            self.held += size_bytes
            return True
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            await asyncio.wait({turn}, timeout=wait_s)
        except asyncio.CancelledError:
            self._give_up(size_bytes, turn)
            raise
        if not turn.done():
            self._give_up(size_bytes, turn)
        return not turn.cancelled()

    def add(self, size_bytes: int) -> bool:
        """Hold so much more; False where it is too much together, though it is held."""
        self.held += size_bytes
        return self.held <= self._bytes_max

    def leave(self, size_bytes: int) -> None:
        """Hold so much no longer, and let in who waits."""
        self.held -= size_bytes
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self.held += size
            turn.set_result(None)

    def _fits(self, size_bytes: int) -> bool:
        return not self.held or self.held + size_bytes <= self._bytes_max

    def _give_up(self, size_bytes: int, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.leave(size_bytes)
            return
        turn.cancel()
        self._waiting.remove((size_bytes, turn))
        self.leave(0)  # it may have stood before others that fit
