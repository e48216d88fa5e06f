"""Takes events from an asynchronous iterable, and stores them: a full chunk at once, any event soon.

The same as :mod:`yamcs_archive.gathering`, within one event loop: here a second task hands over what waits.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterable, Callable
from contextlib import suppress

from yamcs_archive.aio.threads import Threads
from yamcs_archive.errors import ArchiveError
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.instance.long_append import LongAppend
from yamcs_archive.limits import CHUNK_BYTES_MAX, CHUNK_EVENTS_MAX, GATHERED_WAIT_S
from yamcs_archive.results import AppendCounts


async def append_gathered(
    events: AsyncIterable[Event], append: LongAppend, clock: Callable[[], int], threads: Threads
) -> AppendCounts:
    """Store all events, and return their counts."""
    gathering = _Gathering(append, clock, threads)
    try:
        async with asyncio.TaskGroup() as group:  # an error of one task cancels the other
            watch = group.create_task(gathering.watch())
            try:
                await gathering.take_all(events)
            finally:
                watch.cancel()
    except BaseExceptionGroup as failed:
        error = failed.exceptions[0]
    else:
        return append.counts()
    if isinstance(error, ArchiveError):
        error.counts = append.counts()
    raise error


class _Gathering:
    def __init__(self, append: LongAppend, clock: Callable[[], int], threads: Threads) -> None:
        self._append = append
        self._clock = clock
        self._threads = threads
        self._held: list[Event] = []
        self._stamps = array("q")
        self._size_bytes = 0
        self._came = asyncio.Event()
        self._turn = asyncio.Lock()  # of storing

    async def take_all(self, events: AsyncIterable[Event]) -> None:
        try:
            async for event in events:
                self._held.append(event)
                self._stamps.append(self._clock())
                self._came.set()
                with suppress(Exception):  # what is no event is refused later
                    self._size_bytes += event_bytes(event)
                if len(self._held) >= CHUNK_EVENTS_MAX or self._size_bytes >= CHUNK_BYTES_MAX:
                    await self._store()
        except Exception:
            await self._store()
            raise
        await self._store()

    async def watch(self) -> None:
        """Store what has waited, until this is cancelled."""
        while True:
            await self._came.wait()
            await asyncio.sleep(GATHERED_WAIT_S)
            await self._store()

    async def _store(self) -> None:
        async with self._turn:
            held, stamps = self._held, self._stamps
            self._held, self._stamps, self._size_bytes = [], array("q"), 0
            self._came.clear()
            if held:
                await self._threads.run(lambda: self._append.add(held, stamps), writing=True)
