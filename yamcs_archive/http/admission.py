"""What large answers hold in memory, together: each waits for room before it is made, until it is written.

1. Most answers are small and are not weighed: nothing is waited for, and nothing is counted.
2. One that turns out large waits, within its making, until there is room for what making it takes. Who
   makes one waits for nothing else, so there will be; except where clients do not take what was made:
   then it ends where it is, with a token or a cursor for the rest, rather than be refused.
3. Once it is made it weighs its bytes, until the client has taken them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from types import TracebackType
from typing import Self

from yamcs_archive.http.messages import Response
from yamcs_archive.http.streaming import Chunks
from yamcs_archive.limits import (
    ANSWER_WAIT_S,
    ANSWERS_BYTES_MAX,
    ANSWERS_WAITING_MAX,
    LARGE_ANSWER_BYTES,
    LARGE_TEXT_BYTES,
    MAKING_BYTES,
    PAGE_BYTES_MAX,
)

_WRITTEN_BYTES = 256 << 10
"""Bytes of a large answer that are written at a time: what waits for its client is that and little more."""


class Room:
    """Bytes that large answers may hold together. Safe to use from many threads.

    >>> room = Room(bytes_max=100)
    >>> room.take(80, wait_s=0), room.take(30, wait_s=0)
    (True, False)
    """

    def __init__(self, bytes_max: int = ANSWERS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._given = threading.Condition()
        self.held = 0
        """Bytes that are held at present."""
        self.waiting = 0
        """How many wait."""

    def take(self, size_bytes: int, wait_s: float) -> bool:
        """Take so much, waiting for it; False where it did not come free in so many seconds.

        At once where as many wait as may.
        """
        until = monotonic() + wait_s
        with self._given:
            while self.held and self.held + size_bytes > self._bytes_max:
                left_s = until - monotonic()
                if left_s <= 0 or self.waiting >= ANSWERS_WAITING_MAX:
                    return False
                self.waiting += 1
                try:
                    self._given.wait(left_s)
                finally:
                    self.waiting -= 1
            self.held += size_bytes
        return True

    def add(self, size_bytes: int) -> None:
        """Take so much whether it is there or not, or give it back where it is negative."""
        with self._given:
            self.held += size_bytes
            self._given.notify_all()


class Hold:
    """What one answer holds of the room: nothing at first. Used by one thread at a time.

    As a context it holds nothing any longer where making the answer fails.

    >>> hold = Hold(Room())
    >>> whole = hold.kept(Response(200, (), b"a" * (1 << 20)))
    >>> hold.bytes, b"".join(whole.body) == b"a" * (1 << 20), hold.bytes
    (1048576, True, 0)
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._in_vain = False
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.release()

    def grows(self, text_bytes: int) -> bool:
        """Note how much text an answer has by now; where that is much, wait until there is room to make it.

        False where there is none in 2 s: then it has to end with what it has, one event at least.
        """
        if text_bytes <= LARGE_TEXT_BYTES or self.bytes:
            return True
        if self._in_vain or not self._room.take(MAKING_BYTES, ANSWER_WAIT_S):
            self._in_vain = True
            return False
        self.bytes = MAKING_BYTES
        return True

    def makes(self, text_bytes: int) -> None:
        """Note the bytes of text of an answer that is about to be made; if they are many, wait for room.

        After 2 s without room it is made all the same: it tells what is done already, and is made once.
        """
        if text_bytes > LARGE_TEXT_BYTES and not self.bytes:
            size_bytes = min(MAKING_BYTES, text_bytes * (MAKING_BYTES // PAGE_BYTES_MAX))
            if self._room.take(size_bytes, ANSWER_WAIT_S):
                self.bytes = size_bytes

    def kept(self, response: Response) -> Response:
        """Return an answer that was made; if it is large, it is held until it was written, part by part."""
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
            self._room.add(size_bytes - self.bytes)
            self.bytes = size_bytes


def _cut(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _WRITTEN_BYTES):
        yield body[start : start + _WRITTEN_BYTES]
