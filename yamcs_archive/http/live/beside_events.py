"""Calls of a WebSocket that are not about events, and the clock that sends the server's time; no sockets.

1. A call other than ``time`` sends nothing after its first value: there is nothing here that could change.
2. The clock has a thread while there are calls of ``time``, and none otherwise. It never waits for a client:
   a time that finds no room in a queue is left out, and the next one comes a second later.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from yamcs_archive.http.limits import TIME_PERIOD_S
from yamcs_archive.http.live.send_queue import SendQueue
from yamcs_archive.times import now_us
from yamcs_archive.wire.live_topics import Data, time_data


@dataclass(eq=False)
class Call:
    """A client's call of a topic other than ``events``, over one WebSocket."""

    call: int
    topic: str
    options: Any
    """The message of the client's options."""
    queue: SendQueue
    seq: int = 0
    """Sequence number of its last message in the queue."""

    def put(self, data: Data) -> None:
        """Put a message into the queue, to be sent with the next flush."""
        self.seq += 1
        self.queue.put(self.queue.frames.data(self.topic, self.call, self.seq, data))


class Clock:
    """Sends the server's time to its calls, once a second."""

    def __init__(self, period_s: float = TIME_PERIOD_S) -> None:
        self._period_s = period_s
        self._guard = threading.Lock()
        self._calls: tuple[Call, ...] = ()  # replaced, never changed
        self._stopping: threading.Event | None = None
        """Ends the thread; None without one."""

    def add(self, call: Call) -> None:
        """Send the time to a call, for the first time after a second."""
        with self._guard:
            self._calls = (*self._calls, call)
            if self._stopping is None:
                stopping = threading.Event()
                thread = threading.Thread(
                    target=self._run, args=(stopping,), name="archive-live-time", daemon=True
                )
                try:
                    thread.start()
                except BaseException:  # too many threads: another call tries again
                    self._calls = self._calls[:-1]
                    raise
                self._stopping = stopping

    def remove(self, call: Call) -> None:
        """Send no more to a call; idempotent."""
        with self._guard:
            self._calls = tuple(one for one in self._calls if one is not call)
            if not self._calls:
                self._end()

    def close(self) -> None:
        """Send no more to any call; idempotent."""
        with self._guard:
            self._calls = ()
            self._end()

    def _end(self) -> None:
        if self._stopping is not None:
            self._stopping.set()
            self._stopping = None

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(self._period_s):
            data = time_data(now_us())
            for call in self._calls:
                if not call.queue.full:
                    call.put(data)
                    call.queue.flush()
