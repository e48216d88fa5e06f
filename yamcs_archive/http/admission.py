"""How much may be in progress at once: slots for long requests, bytes of bodies and of answers.

1. Small bodies and small answers are not counted, and wait for nothing.
2. A request that was admitted waits only for its own client, so the room that it holds comes free. A body is
   admitted with all its bytes before any of them is read.
3. If there is no room, a body waits up to 10 s and an answer up to 2 s. Polls, batches and streams do not
   wait, because a slot may be taken for minutes.
4. A request that still finds no room is refused with an UnavailableError, a 503, and nothing is done. An
   answer is never refused: a page is cut short, with a token or a cursor for the rest; an answer that says
   what was already done is made without room.
5. Slots and bytes are given back exactly once.
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
from yamcs_archive.http.alone import Alone
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
    REPORTS_MAX,
    STREAMS_MAX,
)
from yamcs_archive.http.request_and_response import Response
from yamcs_archive.http.streaming import Chunks

_WRITTEN_BYTES = 256 << 10
"""Bytes of a large answer that are written at a time, so that little more than that waits for the client."""


class Admission:
    """The slots and budgets of one application. ``polls_max``: largest number of polls that wait at once."""

    def __init__(self, polls_max: int) -> None:
        self.answers = AnswerBudget()
        self.batches = Slots(BATCHES_MAX, "batches")
        self.streams = Slots(STREAMS_MAX, "streams")
        self.polls = PollSlots(polls_max)
        self.reports = Slots(REPORTS_MAX, "reports")
        self.operations = Alone()


def _too_many(most: int, what: str) -> UnavailableError:
    return UnavailableError(f"{most} {what} are under way, the limit: send it again later")


class Slots:
    """Slots for requests that may hold a thread for as long as their client likes.

    Safe to use from many threads.

    >>> slots = Slots(1, "batches")
    >>> slots.enter(), slots.leave(), slots.enter()
    (None, None, None)
    """

    def __init__(self, count: int, what: str) -> None:
        self._count, self._what = count, what
        self._free = threading.BoundedSemaphore(count)

    def enter(self) -> None:
        """Take a slot; UnavailableError if all are taken."""
        if not self._free.acquire(blocking=False):
            raise _too_many(self._count, self._what)

    def leave(self) -> None:
        """Give a slot back."""
        self._free.release()


class PollSlots:
    """Slots for long polls: answers that wait for something to be stored.

    A poll may wait for minutes. If each holds a thread, too many would leave none for storing events; if not,
    each still holds a connection and memory. Safe to use from many threads.
    """

    def __init__(self, polls_max: int) -> None:
        self._polls_max = polls_max
        self._lock = threading.Lock()
        self._open: set[Future[None]] = set()
        self._ending = False

    def admit(self, awaited: Future[None]) -> None:
        """Take a slot until the future that a poll waits for is done; :meth:`end` cancels the future.

        UnavailableError if all are taken, and once serving ends: clients would ask again and again otherwise.
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
        """Have all polls answer now, with what there is, and refuse further ones."""
        with self._lock:
            self._ending = True
            waiting = list(self._open)
        for awaited in waiting:
            awaited.cancel()

    def _leave(self, awaited: Future[None]) -> None:
        with self._lock:
            self._open.discard(awaited)


class BodyBudget:
    """Bytes of the bodies of single requests, from their arrival until they are answered.

    For one event loop. Large bodies are admitted in order of arrival. A body of unknown length cannot wait:
    it is refused if the room runs out while it comes.

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
        """Hold that many bytes more, also if that is too many: then it raises UnavailableError."""
        self.held += size_bytes
        if self.held > self._bytes_max:
            raise _too_many(self._bytes_max, "bytes of bodies")

    def leave(self, size_bytes: int) -> None:
        """Give that many bytes back, and admit the bodies that fit now."""
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
        self.leave(0)  # the bodies after it may fit


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

        False at once if the largest number of answers wait already.
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
    """One answer's share of the budget, at first nothing. For one thread at a time.

    Making a large answer takes several times the memory of its text, which is reserved first. Once it is
    made, the lease holds its bytes until the client has taken them.

    >>> lease = Lease(AnswerBudget())
    >>> whole = lease.count(Response(200, (), b"a" * (1 << 20)))
    >>> lease.bytes, b"".join(whole.body) == b"a" * (1 << 20), lease.bytes
    (1048576, True, 0)
    """

    __slots__ = ("_budget", "_no_room", "bytes")

    def __init__(self, budget: AnswerBudget) -> None:
        self._budget = budget
        self._no_room = False
        self.bytes = 0

    def grow(self, text_bytes: int) -> bool:
        """Note how much text an answer has so far; if that is much, wait for room to make it.

        False if there is none within 2 s: the answer must end with the events that it has, at least one.
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

        After 2 s without room it is made all the same, because it says what was done.
        """
        if text_bytes > LARGE_TEXT_BYTES and not self.bytes:
            size_bytes = min(MAKING_BYTES, text_bytes * (MAKING_BYTES // PAGE_BYTES_MAX))
            if self._budget.take(size_bytes, ANSWER_WAIT_S):
                self.bytes = size_bytes

    def count(self, response: Response) -> Response:
        """Return an answer that was made; a large one in parts, held until all of them are written."""
        body = response.body
        if not isinstance(body, bytes) or len(body) < LARGE_ANSWER_BYTES:
            self.release()
            return response
        self._become(len(body))
        return replace(response, body=Chunks(_cut(body), self.release))

    def release(self) -> None:
        """Give everything back; idempotent."""
        self._become(0)

    def _become(self, size_bytes: int) -> None:
        if size_bytes != self.bytes:
            self._budget.add(size_bytes - self.bytes)
            self.bytes = size_bytes


def _cut(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _WRITTEN_BYTES):
        yield body[start : start + _WRITTEN_BYTES]
