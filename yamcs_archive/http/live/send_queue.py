"""The queue of frames to one WebSocket: filled on any thread, emptied by an event loop; no I/O.

1. It is bounded: code that fills it checks whether it is full, and waits or closes it. An entry is a call, a
   number and a burst: what is the same in the frames of all subscribers of these events. A burst is in memory
   once for all queues, and costs a queue the same whether it has one event or hundreds.
2. Nothing enters a closed queue. Its frames are sent first, then the close.
3. The sender is woken once, until it has taken everything: who sends nothing for a while costs no wakes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count, repeat
from time import monotonic
from typing import NamedTuple

from yamcs_archive.http.limits import LIVE_QUEUE_BYTES_MAX
from yamcs_archive.wire.live_frames import Frames, Tail

_FRAME_BYTES = 120
"""Bytes of memory that a frame takes beside the part that it shares, roughly."""
_REASON_BYTES_MAX = 123
"""Bytes of the reason in a close frame (RFC 6455)."""

NORMAL, GOING_AWAY, NOT_PERMITTED, TOO_BIG, FAILED, TRY_LATER = 1000, 1001, 1008, 1009, 1011, 1013
"""Status codes of close frames."""


class Closing(NamedTuple):
    """Why a WebSocket is closed."""

    code: int
    reason: str


class Burst(NamedTuple):
    """What is the same in the frames of all subscribers of some events."""

    tails: Sequence[Tail]
    bytes: int
    """The memory that its frames take in a queue, roughly."""

    @classmethod
    def of(cls, tails: Sequence[Tail]) -> Burst:
        """Return the burst of the tails of some events.

        >>> Burst.of(["{}", "{}"]).bytes
        244
        """
        return cls(tails, sum(map(len, tails)) + _FRAME_BYTES * len(tails))


class SendQueue:
    """Frames that wait to be sent.

    ``wake`` is called, on any thread, when there is something to send after all before it was taken.
    ``give_up`` ends the connection without waiting for the client.

    >>> from yamcs_archive.wire.live_frames import JsonFrames
    >>> queue = SendQueue(JsonFrames(), wake=lambda: print("wake"), give_up=lambda: None)
    >>> queue.put("{}"), queue.flush(), queue.take(10)
    wake
    (None, None, ['{}'])
    """

    def __init__(self, frames: Frames, wake: Callable[[], None], give_up: Callable[[], None]) -> None:
        self.frames = frames
        self.give_up = give_up
        self._wake = wake
        self._guard = threading.Lock()
        self._room = threading.Condition(self._guard)
        # Entries by column: a tuple for each is an object that every full garbage collection looks at. With
        # 200 clients that read nothing it took 0.1 s each time, in which nothing was answered.
        self._calls: deque[int] = deque()
        self._seqs: deque[int] = deque()
        self._bursts: deque[Burst] = deque()
        self._begun = 0
        """How many events of the first burst were taken."""
        self._bytes = 0
        self._is_woken = False
        self.closing: Closing | None = None

    def put(self, frame: str | bytes) -> None:
        """Add a ready frame, to be sent with the next :meth:`flush`."""
        self.put_events(0, 0, Burst.of([frame]))

    def put_events(self, call: int, seq: int, burst: Burst) -> None:
        """Add events for a call, numbered from ``seq`` on, to be sent with the next :meth:`flush`."""
        if self.closing is None:
            with self._guard:
                self._calls.append(call)
                self._seqs.append(seq)
                self._bursts.append(burst)
                self._bytes += burst.bytes

    def flush(self) -> None:
        """Wake the sender of the frames, unless it was woken and has not taken all of them yet."""
        # Without the guard: the sender clears the flag once it has found nothing more, and whoever sets it
        # wakes the sender after that.
        if not self._is_woken:
            self._is_woken = True
            self._wake()

    def close(self, code: int, reason: str) -> None:
        """Accept no more frames, and close once all are sent; only the first call counts."""
        with self._room:
            if self.closing is None:
                short = reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")
                self.closing = Closing(code, short)
                self._room.notify_all()
        self._wake()

    @property
    def waiting_bytes(self) -> int:
        """The memory that its frames take, roughly."""
        return self._bytes

    @property
    def full(self) -> bool:
        """True if code that fills the queue should wait."""
        return self._bytes > LIVE_QUEUE_BYTES_MAX

    def wait_for_room(self, until_s: float) -> bool:
        """Wait until it is half empty, or closed; False if it is not by then (``until_s``, a monotonic time).

        Half, so that a client must keep up: one that takes a frame now and then would hold up the others for
        ever.
        """
        with self._room:
            return self._room.wait_for(
                lambda: self._roomy or self.closing is not None, max(0.0, until_s - monotonic())
            )

    @property
    def _roomy(self) -> bool:
        return self._bytes <= LIVE_QUEUE_BYTES_MAX // 2

    def take(self, frames_max: int) -> Sequence[str | bytes]:
        """Remove and return up to ``frames_max`` frames, oldest first."""
        taken: list[str | bytes] = []
        with self._room:
            while self._bursts and len(taken) < frames_max:
                call, seq, burst = self._calls[0], self._seqs[0] + self._begun, self._bursts[0]
                stop = self._begun + frames_max - len(taken)
                tails = burst.tails[self._begun : stop]
                if stop < len(burst.tails):
                    self._begun = stop
                else:
                    self._begun = 0
                    for column in (self._calls, self._seqs, self._bursts):
                        column.popleft()
                self._bytes -= Burst.of(tails).bytes
                taken += map(self.frames.event, repeat(call), count(seq), tails) if call else tails
            if not self._bursts:
                self._is_woken = False
            if self._roomy:
                self._room.notify_all()
        return taken
