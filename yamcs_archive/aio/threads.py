"""What passes between the event loop and other threads: results, and the items of iterators."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from yamcs_archive.errors import ClosedError

T = TypeVar("T")

_READERS, _WRITERS = 8, 32
"""Threads of one archive: as many calls read at a time, and as many wait for room, or for the next event of
an iterable that is not asynchronous; more of them wait for a thread. None begins before it is needed."""
_ITEMS_MAX = 1_000
"""Largest number of items that pass at once: a pass takes some 100 us, an item less than 1 us."""
_PASS_BYTES_MAX = 1 << 20
"""Largest text that passes at once, in bytes."""
_PASS_S = 0.05
"""Longest time for which the first item waits for others, in seconds."""


class Threads:
    """The threads of an archive on which calls that may block are made."""

    def __init__(self) -> None:
        # Two pools: reading goes on while appends wait.
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="yamcs-archive-aio-read")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="yamcs-archive-aio-write")

    async def run(
        self, call: Callable[[], T], undo: Callable[[T], object] | None = None, *, writing: bool = False
    ) -> T:
        """Make a call on a thread and return its result; ``undo`` gets it if nobody waits any more."""
        try:
            future = (self._writers if writing else self._readers).submit(call)
        except RuntimeError:  # the threads have ended
            raise ClosedError from None
        try:
            return await settled(future)
        except asyncio.CancelledError:
            if not future.cancel() and undo is not None:
                future.add_done_callback(lambda done: _undone(done, undo))
            raise

    async def items(
        self, begin: Callable[[Callable[[], bool]], Iterator[T]], size_of: Callable[[T], int]
    ) -> AsyncIterator[T]:
        """Yield the items of an iterator that is made and read on a thread, many at a time.

        ``begin`` gets a function that returns True once nobody wants more. ``size_of`` returns bytes.
        """
        ended = threading.Event()
        try:
            supply = await self.run(lambda: begin(ended.is_set))
            most = 1  # the first one comes at once
            while some := await self.run(partial(_some, supply, most, size_of)):
                for item in some:
                    yield item
                most = min(most * 4, _ITEMS_MAX)
        finally:
            ended.set()

    def end(self) -> None:
        """Let the threads end after their calls; does not wait."""
        self._readers.shutdown(wait=False)
        self._writers.shutdown(wait=False)


def _some(supply: Iterator[T], most: int, size_of: Callable[[T], int]) -> list[T]:
    found: list[T] = []
    size_bytes = 0
    until = time.monotonic() + _PASS_S
    for item in supply:
        found.append(item)
        size_bytes += size_of(item)
        if len(found) == most or size_bytes >= _PASS_BYTES_MAX or time.monotonic() >= until:
            break
    return found


def _undone(done: Future[T], undo: Callable[[T], object]) -> None:
    if done.exception() is None:
        undo(done.result())


def settled(future: Future[T]) -> asyncio.Future[T]:
    """Return a future of the running loop that gets the result or the error of another thread's future.

    Cancelling it does not cancel that one: what was submitted is stored, and its callbacks see a result.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[T] = loop.create_future()

    def settle() -> None:
        if waiting.done():  # it was cancelled
            return
        if future.cancelled():
            waiting.cancel()
        elif (error := future.exception()) is not None:
            waiting.set_exception(error)
        else:
            waiting.set_result(future.result())

    def done(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle)

    future.add_done_callback(done)
    return waiting
