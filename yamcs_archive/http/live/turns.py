"""The turns of those who send live updates on one event loop: one begins in each of the loop's rounds.

Live updates to some hundred WebSockets can take all of a loop's time, and then a post waits for a burst to
each of them. So between two bursts the loop does everything else that is ready.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets those who wait go on one by one, in the order in which they came. For one event loop.

    >>> async def two() -> list[str]:
    ...     turns, said = Turns(), []
    ...     async def say(word: str) -> None:
    ...         await turns.take()
    ...         said.append(word)
    ...     await asyncio.gather(say("first"), say("second"))
    ...     return said
    >>> asyncio.run(two())
    ['first', 'second']
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return in a round of the loop in which nobody else's turn begins. It need not be given back."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._give, loop)
        await turn

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        turn = self._waiting.popleft()
        if not turn.done():  # who waited may have been cancelled
            turn.set_result(None)
        if self._waiting:
            loop.call_soon(self._give, loop)
