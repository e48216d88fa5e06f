"""How much may be under way at once: places for requests that last, bytes of bodies and of answers.

1. Small bodies and small answers are not counted, and wait for nothing.
2. What is admitted waits only for its own client after that, so what it holds comes free. A body is admitted
   with all its bytes before any of them is read.
3. What finds no room waits for a bounded time: a body 10 s, an answer 2 s. Polls, batches and streams do not
   wait, because what they wait for may take minutes.
4. A request that finds no room then is refused with an UnavailableError, which is a 503, and nothing is done.
   An answer is never refused: a page ends where it is, with a token or a cursor for the rest; an answer that
   says what was done already is made without room.
5. What was held is given back once, whatever happens.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from time import monotonic

from yamcs_archive.errors import UnavailableError
from yamcs_archive.http.limits import (
    ANSWER_WAIT_S,
    ANSWERS_BYTES_MAX,
    ANSWERS_WAITING_MAX,
    BATCHES_MAX,
    BODIES_BYTES_MAX,
    BODY_WAIT_S,
    LARGE_ANSWER_BYTES,
    LARGE_TEXT_BYTES,
    MAKING_BYTES,
    PAGE_BYTES_MAX,
    STREAMS_MAX,
)
from yamcs_archive.http.messages import Response
from yamcs_archive.http.streaming import Chunks

_WRITTEN_BYTES = 256 << 10
"""Bytes of a large answer that are written at a time: what waits for its client is that and little more."""


class Admission:
    """What the requests of one application share. ``polls_max``: number of polls that may wait at once."""

    def __init__(self, polls_max: int) -> None:
        self.answers = AnswerBudget()
        self.batches = Slots(BATCHES_MAX, "batches")
        self.streams = Slots(STREAMS_MAX, "streams")
        self.polls = PollSlots(polls_max)


def _too_many(most: int, what: str) -> UnavailableError:
    return UnavailableError(f"{most} {what} are under way, the limit: send it again later")


class Slots:
    """Places for requests that may hold a thread for as long as their client pleases.

    Safe to use from many threads.

    >>> slots = Slots(1, "batches")
    >>> slots.enter(), slots.leave(), slots.enter()
    (None, None, None)
    """

    def __init__(self, count: int, what: str) -> None:
        self._count, self._what = count, what
        self._free = threading.BoundedSemaphore(count)

    def enter(self) -> None:
        """Take a place; UnavailableError if all are taken."""
        if not self._free.acquire(blocking=False):
            raise _too_many(self._count, self._what)

    def leave(self) -> None:
        """Give a place back."""
        self._free.release()


class PollSlots:
    """Places for answers that wait for something to be stored, and their end when serving ends.

    A poll may wait for minutes. If each holds a thread, too many would leave none for storing events; if not,
    each still holds a connection and memory. Safe to use from many threads.
    """

    def __init__(self, polls_max: int) -> None:
        self._polls_max = polls_max
        self._lock = threading.Lock()
        self._open: set[Future[None]] = set()
        self._ending = False

    def admit(self, awaited: Future[None]) -> None:
        """Give a place to what an answer waits for, until it is done; :meth:`end` cancels it.

        UnavailableError if there are too many, and when serving ends: otherwise clients would ask again at
        once, and again.
        """
        with self._lock:
            why = "serving ends" if self._ending else ""
            if len(self._open) >= self._polls_max:
                why = f"{self._polls_max} polls are under way, the limit"
            if not why:
                self._open.add(awaited)
        if why:
            awaited.cancel()
            raise UnavailableError(f"{why}: ask again later, or without wait")
        awaited.add_done_callback(self._leave)

    def end(self) -> None:
        """Let all polls answer now, with what there is, and refuse further ones."""
        with self._lock:
            self._ending = True
            waiting = list(self._open)
        for awaited in waiting:
            awaited.cancel()

    def _leave(self, awaited: Future[None]) -> None:
        with self._lock:
            self._open.discard(awaited)


class BodyBudget:
    """Bytes of the bodies of single requests, from when they come until they are answered.

    For one event loop. Large bodies are let in by turns. A body without a known length cannot wait: it is
    refused if there is no room while it comes.

    >>> bodies = BodyBudget(bytes_max=10)
    >>> asyncio.run(bodies.enter(8)), bodies.add(2), bodies.held
    (None, None, 10)
    """

    def __init__(self, bytes_max: int = BODIES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0

    async def enter(self, size_bytes: int, wait_s: float = BODY_WAIT_S) -> None:
        """Hold that many bytes once there is room; UnavailableError, and nothing held, after ``wait_s``."""
        if not self._waiting and self._fits(size_bytes):
            self.held += size_bytes
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        try:
            await asyncio.wait({turn}, timeout=wait_s)
        except asyncio.CancelledError:
            self._stop_waiting(size_bytes, turn)
            raise
        if not turn.done():
            self._stop_waiting(size_bytes, turn)
        if turn.cancelled():
            raise _too_many(self._bytes_max, "bytes of bodies")

    def add(self, size_bytes: int) -> None:
        """Hold that many bytes more; UnavailableError if they are too many together, but they are held."""
        self.held += size_bytes
        if self.held > self._bytes_max:
            raise _too_many(self._bytes_max, "bytes of bodies")

    def leave(self, size_bytes: int) -> None:
        """Give that many bytes back, and let in those that fit now."""
        self.held -= size_bytes
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            self.held += size
            turn.set_result(None)

    def _fits(self, size_bytes: int) -> bool:
        return not self.held or self.held + size_bytes <= self._bytes_max

    def _stop_waiting(self, size_bytes: int, turn: asyncio.Future[None]) -> None:
        if turn.done():
            self.leave(size_bytes)
            return
        turn.cancel()
        self._waiting.remove((size_bytes, turn))
        self.leave(0)  # others after it may fit


class AnswerBudget:
    """Bytes that large answers may hold together. Safe to use from many threads.

    >>> answers = AnswerBudget(bytes_max=100)
    >>> answers.take(80, wait_s=0), answers.take(30, wait_s=0)
    (True, False)
    """

    def __init__(self, bytes_max: int = ANSWERS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._given_back = threading.Condition()
        self.held = 0
        """Bytes that are held at present."""
        self.waiting = 0
        """Number of answers that wait."""

    def take(self, size_bytes: int, wait_s: float) -> bool:
        """Hold that many bytes once there is room; False if there is none within ``wait_s``.

        False at once if as many answers wait as may.
        """
        until = monotonic() + wait_s
        with self._given_back:
            while self.held and self.held + size_bytes > self._bytes_max:
                left_s = until - monotonic()
                if left_s <= 0 or self.waiting >= ANSWERS_WAITING_MAX:
                    return False
                self.waiting += 1
                try:
                    self._given_back.wait(left_s)
                finally:
                    self.waiting -= 1
            self.held += size_bytes
        return True

    def add(self, size_bytes: int) -> None:
        """Hold that many bytes whether there is room or not; a negative number gives them back."""
        with self._given_back:
            self.held += size_bytes
            self._given_back.notify_all()


class Lease:
    """What one answer holds of the budget: nothing at first. Used by one thread at a time.

    Making a large answer takes several times its text, so room for that is taken before; once it is made, the
    lease holds its bytes until the client has taken them.

    >>> lease = Lease(AnswerBudget())
    >>> whole = lease.kept(Response(200, (), b"a" * (1 << 20)))
    >>> lease.bytes, b"".join(whole.body) == b"a" * (1 << 20), lease.bytes
    (1048576, True, 0)
    """

    __slots__ = ("_budget", "_no_room", "bytes")

    def __init__(self, budget: AnswerBudget) -> None:
        self._budget = budget
        self._no_room = False
        self.bytes = 0

    def grow(self, text_bytes: int) -> bool:
        """Note how much text an answer has by now; if that is much, wait for room to make it.

        False if there is none within 2 s: the answer must end with what it has, at least one event.
        """
        if text_bytes <= LARGE_TEXT_BYTES or self.bytes:
            return True
        if self._no_room or not self._budget.take(MAKING_BYTES, ANSWER_WAIT_S):
            self._no_room = True
            return False
        self.bytes = MAKING_BYTES
        return True

    def reserve(self, text_bytes: int) -> None:
        """Note how much text an answer will have; if that is much, wait for room to make it.

        After 2 s without room it is made all the same: it says what was done, and is made once.
        """
        if text_bytes > LARGE_TEXT_BYTES and not self.bytes:
            size_bytes = min(MAKING_BYTES, text_bytes * (MAKING_BYTES // PAGE_BYTES_MAX))
            if self._budget.take(size_bytes, ANSWER_WAIT_S):
                self.bytes = size_bytes

    def kept(self, response: Response) -> Response:
        """Return an answer that was made; a large one is held until it is written, part by part."""
        body = response.body
        if not isinstance(body, bytes) or len(body) < LARGE_ANSWER_BYTES:
            self.release()
            return response
        self._become(len(body))
        return replace(response, body=Chunks(_cut(body), self.release))

    def release(self) -> None:
        """Hold nothing any longer; idempotent."""
        self._become(0)

    def _become(self, size_bytes: int) -> None:
        if size_bytes != self.bytes:
            self._budget.add(size_bytes - self.bytes)
            self.bytes = size_bytes


def _cut(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _WRITTEN_BYTES):
        yield body[start : start + _WRITTEN_BYTES]
