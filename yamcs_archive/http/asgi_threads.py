"""Between an event loop and threads: blocking work runs on threads, and few wakes bring the results back.

1. Nothing here blocks the loop's thread.
2. Pages, scans and batches have threads of their own, so that none of them can take those of another; storing
   an event needs none.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from yamcs_archive.errors import ArchiveError, UnavailableError
from yamcs_archive.http.admission import BodyBudget
from yamcs_archive.http.errors import CutOffError
from yamcs_archive.http.limits import BATCHES_MAX, PAGES_WAITING_MAX, QUICK_BODY_BYTES_MAX, STREAMS_MAX
from yamcs_archive.http.request_and_response import Work

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
"""ASGI's: returns the next message from the server."""
Send = Callable[[Message], Awaitable[None]]

_Result = TypeVar("_Result")

_PART_BYTES = 64
"""Bytes of memory of a part of a body beside its content: a client may send byte by byte."""
_REFUSING_THREADS = 4
"""Threads beside those for streams and for batches: on these a request that finds all in use is refused."""


class Pools:
    """Threads for pages, for scans and for batches. They begin when they are needed."""

    def __init__(self, page_threads: int) -> None:
        self._pages = ThreadPoolExecutor(page_threads, "yamcs-archive-page")
        self._scans = ThreadPoolExecutor(STREAMS_MAX + _REFUSING_THREADS, "yamcs-archive-scan")
        self._batches = ThreadPoolExecutor(BATCHES_MAX + _REFUSING_THREADS, "yamcs-archive-batch")
        self._room = threading.Semaphore(page_threads + PAGES_WAITING_MAX)

    def begin(self, work: Work, call: Callable[..., _Result], *arguments: Any) -> asyncio.Future[_Result]:
        """Do the same as :meth:`run` for a new request; UnavailableError if too many wait for a thread."""
        if not self._room.acquire(blocking=False):
            raise UnavailableError(
                f"{PAGES_WAITING_MAX} requests wait for a thread, the limit: send it again later"
            )
        pool = self._scans if work is Work.LONG else self._pages
        try:
            running = pool.submit(call, *arguments)
        except BaseException:
            self._room.release()
            raise
        running.add_done_callback(lambda _: self._room.release())
        return asyncio.wrap_future(running)

    def run(self, work: Work, call: Callable[..., _Result], *arguments: Any) -> asyncio.Future[_Result]:
        """Run a call on a thread for that work; to be awaited in the loop that calls it."""
        pool = self._scans if work is Work.LONG else self._pages
        return asyncio.wrap_future(pool.submit(call, *arguments))

    def run_batch(
        self, call: Callable[[Iterator[bytes]], _Result], body: RequestBody
    ) -> asyncio.Future[_Result]:
        """Run a call that reads a body as it comes, for as long as that may take."""
        return asyncio.wrap_future(self._batches.submit(call, iter(body)))

    def close(self) -> None:
        """Take no more calls. Those under way end by themselves."""
        for pool in (self._pages, self._scans, self._batches):
            pool.shutdown(wait=False, cancel_futures=True)


class LoopWaker:
    """Makes calls in an event loop, from any thread: one wake for all calls that come before it arrives.

    A commit completes the futures of a whole group one after another. A wake for each would cost a system
    call, and the loop would compete with the committing thread for the interpreter's lock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._calls: deque[Callable[[], object]] = deque()
        self._is_waking = False

    def soon(self, call: Callable[[], object]) -> None:
        """Make a call in the loop; on any thread."""
        # First the call is queued, then the flag is read; the loop clears the flag before it empties the
        # queue. So no call is left in the queue.
        self._calls.append(call)
        if not self._is_waking:
            self._is_waking = True
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                self.loop.call_soon_threadsafe(self._make)

    def end_of(self, future: Future[Any]) -> asyncio.Future[None]:
        """Return a future of the loop that is done when the other one is, however that ended."""
        waiter: asyncio.Future[None] = self.loop.create_future()

        def end() -> None:
            if not waiter.done():
                waiter.set_result(None)

        future.add_done_callback(lambda _: self.soon(end))
        return waiter

    def _make(self) -> None:
        self._is_waking = False
        while self._calls:
            self._calls.popleft()()


class RequestBody:
    """A body on its way from an event loop, which receives it, to a thread, which reads it; little is held.

    ``queue_limit`` returns the number of bytes that may wait: the more bodies there are, the fewer. It takes
    no thread until its beginning has come, which ``budget`` counts until then (:meth:`begun`); None: at once.
    """

    def __init__(self, queue_limit: Callable[[], int], budget: BodyBudget | None = None) -> None:
        self._queue_limit = queue_limit
        self._budget = BodyBudget() if budget is None else budget
        self._arrived = asyncio.Event()
        self._is_begun = budget is None
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._guard = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._waiting = False
        self._ended = False
        self._error: CutOffError | None = None

    async def begun(self) -> ArchiveError | None:
        """Wait until a thread has something to read for a while: 64 KiB, or all that comes.

        Returns the error to refuse the request with if there is no room for it.
        """
        counted = 0
        try:
            while not self._ended and self._size <= QUICK_BODY_BYTES_MAX:
                more, counted = self._size - counted, self._size
                self._budget.add(more)
                self._arrived.clear()
                await self._arrived.wait()
        except UnavailableError as error:
            return error
        finally:
            self._is_begun = True
            self._budget.leave(counted)
        return None

    async def fill(self, receive: Receive, content_length: int | None) -> None:
        """Receive the body from the server, no faster than it is read."""
        received = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.end(CutOffError(received, content_length))
                return
            part = message.get("body", b"")
            received += len(part)
            with self._guard:
                self._parts.append(part)
                self._size += len(part) + _PART_BYTES
                full = self._is_begun and self._size > self._queue_limit()
                self._guard.notify()
            self._arrived.set()
            if not message.get("more_body", False):
                is_short = content_length is not None and received < content_length
                self.end(CutOffError(received, content_length) if is_short else None)
                return
            if full:
                self._room.clear()
                with self._guard:
                    self._waiting = full = self._size > self._queue_limit()
                if full:  # else it was emptied before the event was cleared
                    await self._room.wait()

    def end(self, error: CutOffError | None) -> None:
        """Note that nothing more comes; only the first call counts. In the event loop."""
        with self._guard:
            if not self._ended:
                self._ended, self._error = True, error
                self._guard.notify()
        self._arrived.set()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the parts as they come; on one thread. Raises CutOffError if the body ends too early."""
        while True:
            with self._guard:
                while not (self._parts or self._ended):
                    self._guard.wait()
                part = self._parts.popleft() if self._parts else None
                self._size -= 0 if part is None else len(part) + _PART_BYTES
                wakes = self._waiting and self._size <= self._queue_limit()
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


class ResponseBody:
    """Chunks of an answer that are made on a thread, a few ahead, for an event loop that writes them.

    The thread makes the next chunks while the loop wakes and writes. It ends when enough are ready, so that a
    slow client holds no thread.
    """

    _AHEAD, _AHEAD_BYTES = 2, 1 << 20
    """Chunks that are made ahead, and bytes of one that is enough by itself. With one small chunk only, the
    thread would wait for the loop after each."""

    def __init__(self, pools: Pools, chunks: Iterable[bytes]) -> None:
        self._pools, self._loop = pools, asyncio.get_running_loop()
        self._chunks, self._iterator = chunks, iter(chunks)
        self._arrived = asyncio.Event()
        self._guard = threading.Lock()
        self._ahead: deque[bytes] = deque()
        self._reading = self._ended = self._closed = False
        self._error: Exception | None = None

    async def next(self) -> bytes | None:
        """Return the next chunk, None at the end and once this is closed; raises what making it raised."""
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
            self._reading = False  # so that close() closes the chunks
            raise

    def close(self) -> None:
        """Let the reading end, after the chunk that is being made. Idempotent."""
        with self._guard:
            self._closed = True
            self._ahead.clear()
            reading = self._reading
        self._arrived.set()
        if not reading:
            self._close()

    def _look(self, reading: asyncio.Future[None]) -> None:
        """Wake the loop if the threads ended before the reading began."""
        if reading.cancelled():
            with self._guard:
                self._reading, self._ended = False, True
                self._error = RuntimeError("the server ends")
            self._arrived.set()

    def _read(self) -> None:
        """Make chunks until enough are ahead; on a thread."""
        error: Exception | None = None
        try:
            for chunk in self._iterator:
                with self._guard:
                    if self._closed:
                        break
                    self._ahead.append(chunk)
                    # Set together with the chunk, so that one of close() and this closes the chunks.
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
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._arrived.set)

    def _close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


async def client_left(receive: Receive) -> None:
    """Return when the client goes away; to be called once the body was received."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def write_chunks(pools: Pools, chunks: Iterable[bytes], left: asyncio.Task[None], send: Send) -> None:
    """Write chunks while the next ones are made, until the end or until ``left`` ends: the client went away.

    An error passes to the server, which closes the connection without the last chunk.
    """
    body = ResponseBody(pools, chunks)
    left.add_done_callback(lambda _: body.close())
    try:
        while (chunk := await body.next()) is not None:
            with suppress(OSError):  # the client goes away: some servers report it like this as well
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if not left.done():
            await send({"type": "http.response.body", "body": b""})
    finally:
        body.close()
