"""Between an event loop and threads: what blocks runs elsewhere, and ends are brought back in few wakes.

1. Nothing here waits in the loop's thread.
2. Threads are counted by what they are for: a page, a scan and a batch never take one from another, and
   an event that is stored needs none.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from yamcs_archive.http.errors import CutOffError
from yamcs_archive.http.messages import Work
from yamcs_archive.limits import BATCHES_MAX, STREAMS_MAX

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
"""ASGI's: returns the next message from the server."""
Send = Callable[[Message], Awaitable[None]]

_Result = TypeVar("_Result")

_PART_BYTES = 64
"""Bytes of memory of a part of a body beside its content: a client may send byte by byte."""
_REFUSING_THREADS = 4
"""Beside those for streams and for batches: whoever finds all in use is told so, on one of these."""


class Pools:
    """Threads by what they are for. They begin when they are needed."""

    def __init__(self, page_threads: int) -> None:
        self._pages = ThreadPoolExecutor(page_threads, "yamcs-archive-page")
        self._scans = ThreadPoolExecutor(STREAMS_MAX + _REFUSING_THREADS, "yamcs-archive-scan")
        self._batches = ThreadPoolExecutor(BATCHES_MAX + _REFUSING_THREADS, "yamcs-archive-batch")

    def run(self, work: Work, call: Callable[..., _Result], *arguments: Any) -> asyncio.Future[_Result]:
        """Run a call on a thread for that work; to be awaited in the loop that calls it."""
        pool = self._scans if work is Work.LONG else self._pages
        return asyncio.wrap_future(pool.submit(call, *arguments))

    def run_batch(self, call: Callable[[Iterator[bytes]], _Result], body: Inflow) -> asyncio.Future[_Result]:
        """Run a call that reads a body as it comes, for as long as that may take."""
        return asyncio.wrap_future(self._batches.submit(call, iter(body)))

    def close(self) -> None:
        """Take no more calls. Those under way end by themselves."""
        for pool in (self._pages, self._scans, self._batches):
            pool.shutdown(wait=False, cancel_futures=True)


class Calls:
    """Calls from any thread into an event loop: one wake for all that come while it is on its way.

    A commit ends the futures of a whole group one after another; a wake for each would cost a system call
    each, and the loop would fight the committing thread for the interpreter's lock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._calls: deque[Callable[[], object]] = deque()
        self._on_its_way = False

    def soon(self, call: Callable[[], object]) -> None:
        """Make a call in the loop; on any thread."""
        # It is entered before the flag is looked at, and the loop takes the flag back before it looks for
        # what was entered: so none is left behind.
        self._calls.append(call)
        if not self._on_its_way:
            self._on_its_way = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self.loop.call_soon_threadsafe(self._make)

    def end_of(self, future: Future[Any]) -> asyncio.Future[None]:
        """Return what is done in the loop when the future is done, however it ended."""
        waiter: asyncio.Future[None] = self.loop.create_future()

        def end() -> None:
            if not waiter.done():
                waiter.set_result(None)

        future.add_done_callback(lambda _: self.soon(end))
        return waiter

    def _make(self) -> None:
        self._on_its_way = False
        while self._calls:
            self._calls.popleft()()


class Inflow:
    """A body on its way from an event loop, which fills it, to a thread, which reads it; little is held.

    ``held_max`` says how many bytes may wait: the fewer, the more bodies there are.
    """

    def __init__(self, held_max: Callable[[], int]) -> None:
        self._held_max = held_max
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._guard = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._waiting = False
        self._ended = False
        self._error: CutOffError | None = None

    async def fill(self, receive: Receive, said: int | None) -> None:
        """Take the body from the server, no faster than it is read; ``said`` is its Content-Length."""
        got = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.end(CutOffError(got, said))
                return
            part = message.get("body", b"")
            got += len(part)
            with self._guard:
                self._parts.append(part)
                self._size += len(part) + _PART_BYTES
                full = self._size > self._held_max()
                self._guard.notify()
            if not message.get("more_body", False):
                self.end(CutOffError(got, said) if said is not None and got < said else None)
                return
            if full:
                self._room.clear()
                with self._guard:
                    self._waiting = full = self._size > self._held_max()
                if full:  # else it was emptied before the event was cleared
                    await self._room.wait()

    def end(self, error: CutOffError | None) -> None:
        """Say that nothing more comes; the first word counts."""
        with self._guard:
            if not self._ended:
                self._ended, self._error = True, error
                self._guard.notify()

    def __iter__(self) -> Iterator[bytes]:
        """Yield what has come, waiting for it; on one thread. Raises CutOffError where it ended too early."""
        while True:
            with self._guard:
                while not (self._parts or self._ended):
                    self._guard.wait()
                part = self._parts.popleft() if self._parts else None
                self._size -= 0 if part is None else len(part) + _PART_BYTES
                wakes = self._waiting and self._size <= self._held_max()
                self._waiting = self._waiting and not wakes
            if part is None:
                if self._error is not None:
                    raise self._error
                return
            if wakes:
                with suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._room.set)
            if part:
                yield part


class Outflow:
    """Chunks that are read on a thread, a few ahead, for an event loop that writes them.

    The thread goes on reading while the loop wakes and writes; it is given back where enough is ahead, so a
    client that takes its time holds none.
    """

    _AHEAD, _AHEAD_BYTES = 2, 1 << 20
    """Chunks. One would let the thread wait for the loop after each; but of large ones it is enough."""

    def __init__(self, pools: Pools, chunks: Iterable[bytes]) -> None:
        self._pools, self._loop = pools, asyncio.get_running_loop()
        self._chunks, self._iterator = chunks, iter(chunks)
        self._arrived = asyncio.Event()
        self._guard = threading.Lock()
        self._ahead: deque[bytes] = deque()
        self._reading = self._ended = self._closed = False
        self._error: Exception | None = None

    async def next(self) -> bytes | None:
        """Return the next chunk; None at the end and once this is closed. Raises what the reading raised."""
        while True:
            self._arrived.clear()
            with self._guard:
                chunk = self._ahead.popleft() if self._ahead else None
                ended = self._ended or self._closed
                begins = not (self._reading or ended)
                self._reading = self._reading or begins
            if begins:
                self._begin()
            if chunk is not None:
                return chunk
            if ended:
                if self._error is not None and not self._closed:
                    raise self._error
                return None
            await self._arrived.wait()

    def _begin(self) -> None:
        try:
            self._pools.run(Work.LONG, self._read).add_done_callback(self._look)
        except RuntimeError:  # the threads have ended
            self._reading = False  # so that to close this closes the chunks
            raise

    def close(self) -> None:
        """Let the reading end: at once, or where a chunk is being read, after that one. Idempotent."""
        with self._guard:
            self._closed = True
            self._ahead.clear()
            reading = self._reading
        self._arrived.set()
        if not reading:
            self._close()

    def _look(self, reading: asyncio.Future[None]) -> None:
        """Wake who waits for a reading that did not begin before the threads ended."""
        if reading.cancelled():
            with self._guard:
                self._reading, self._ended = False, True
                self._error = RuntimeError("the server ends")
            self._arrived.set()

    def _read(self) -> None:
        """Read until enough is ahead; on a thread."""
        error: Exception | None = None
        try:
            for chunk in self._iterator:
                with self._guard:
                    if self._closed:
                        break
                    self._ahead.append(chunk)
                    # Said together with the chunk: whoever closes then closes the chunks as well.
                    enough = len(self._ahead) >= self._AHEAD or len(chunk) >= self._AHEAD_BYTES
                    self._reading = not enough
                self._wake()
                if enough:
                    return
        except Exception as raised:
            error = raised
        with self._guard:
            self._reading, self._ended, self._error = False, True, error
            closed = self._closed
        if closed:
            self._close()
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._arrived.set)

    def _close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
