"""What waits to be stored: bounded in number and in bytes; callers wait a bounded time for room.

1. Any thread may put, also a signal handler or a finalizer that logs while its thread is in the middle of
   putting: the lock is reentrant, and waking the other thread cannot block.
2. One thread takes. What it has taken counts until it says that it is done with it.
3. After a caller has waited in vain, the next ones do not wait: what does not fit is dropped at once, until
   the buffer is half empty. So an outage costs the program one wait, and not one for each record.
"""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

Item = tuple[tuple[Any, ...], int]
"""What was taken from a record, and its bytes."""
_LOOK_AGAIN_S = 0.002
_HURRY_RECORDS = 2_000
"""Number of records with which the thread that takes is woken before its time."""


class Dropped(NamedTuple):
    """What was dropped since it was last told."""

    records: int
    first_s: float
    """Seconds since 1970."""
    last_s: float


class Buffer:
    """Records between the threads that log and the one that stores."""

    def __init__(self, records_max: int, bytes_max: int, wait_s: float) -> None:
        self._records_max, self._bytes_max, self._wait_s = records_max, bytes_max, wait_s
        self._guard = threading.RLock()
        self._items: list[Item] = []
        self._records = self._bytes = 0  # of all that is not done
        self._put_count = 0
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self._full = False  # a caller has waited in vain
        self._dropped = self._untold = 0
        self._dropped_first_s = self._dropped_last_s = 0.0
        self._done = threading.Condition()  # of an RLock
        self._done_count = 0
        self.closed = False

    @property
    def waiting(self) -> int:
        """The number of records that are not stored yet."""
        return self._records

    @property
    def dropped(self) -> int:
        """The number of records that were dropped."""
        return self._dropped

    def put(self, item: Item) -> bool:
        """Add what was taken from a record; False if it was dropped: there is no room, or no longer."""
        if self._put(item) or (not self._full and self.put_within(item, self._wait_s)):
            return True
        self.drop(1)
        return False

    def put_within(self, item: Item, wait_s: float) -> bool:
        """Do the same, but wait that long in any case; what finds no room is not counted as dropped."""
        until_s = time.monotonic() + wait_s
        while not self._put(item):
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self.closed:
                return False
            time.sleep(min(left_s, _LOOK_AGAIN_S))
        return True

    def _put(self, item: Item) -> bool:
        size = item[1]
        with self._guard:
            held = self._bytes + size
            if self._records and (self._records >= self._records_max or held > self._bytes_max):
                return False
            if self.closed:
                return False
            self._items.append(item)
            self._records += 1
            self._bytes = held
            self._put_count += 1
            if self._asleep or len(self._items) == _HURRY_RECORDS:
                self._asleep = False
                self._wakes.put(None)
        return True

    def drop(self, records: int) -> None:
        """Count records that are lost."""
        now_s = time.time()
        with self._guard:
            self._full = True
            self._dropped += records
            if not self._untold:
                self._dropped_first_s = now_s
            self._untold += records
            self._dropped_last_s = now_s

    @property
    def is_full(self) -> bool:
        """Whether a record was dropped, and the buffer is not half empty since."""
        return self._full

    def told(self) -> Dropped | None:
        """Return what was dropped since the last call; None if that is nothing."""
        with self._guard:
            if not self._untold:
                return None
            found = Dropped(self._untold, self._dropped_first_s, self._dropped_last_s)
            self._untold = 0
            return found

    def gather(self, gather_s: float) -> None:
        """Wait until there is something, and a little longer for more; or until :meth:`hurry` is called."""
        with self._guard:
            self._asleep = not self._items and not self.closed
        if self._asleep:
            self._wakes.get()
            with self._guard:
                self._asleep = False
        if not self.closed and len(self._items) < _HURRY_RECORDS:
            self.pause(gather_s)

    def take(self) -> list[Item]:
        """Return all that waits."""
        with self._guard:
            found, self._items = self._items, []
        return found

    def pause(self, seconds: float) -> None:
        """Wait, or until :meth:`hurry` is called."""
        try:
            self._wakes.get(timeout=seconds) if seconds > 0 else self._wakes.get_nowait()
        except Empty:
            return

    def hurry(self) -> None:
        """Wake the thread that takes."""
        self._wakes.put(None)

    def done(self, records: int, size: int) -> None:
        """Say that what was taken is stored, or given up."""
        with self._guard:
            self._records -= records
            self._bytes = self._bytes - size if self._records else 0
            if self._records * 2 <= self._records_max and self._bytes * 2 <= self._bytes_max:
                self._full = False
        with self._done:
            self._done_count += records
            self._done.notify_all()

    def wait_until_done(self, timeout_s: float | None) -> bool:
        """Wait until all that was put before this call is done; False if it takes longer."""
        with self._guard:
            put = self._put_count
        self.hurry()
        with self._done:
            return self._done.wait_for(lambda: self._done_count >= put, timeout_s)

    def close(self) -> None:
        """Take nothing more, and wake the thread that takes."""
        self.closed = True
        self.hurry()
