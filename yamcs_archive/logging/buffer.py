"""What waits to be stored: bounded in number and in bytes; callers wait a bounded time for room.

1. Any thread may put, also a signal handler or a finalizer that logs while its thread is in the middle of
   putting. So most records are put without a lock, by one atomic step, and the lock is reentrant.
2. A small record counts as :data:`SMALL_BYTES`, so that their number bounds their bytes; larger ones are
   counted under the lock. Threads that put at the same moment may exceed the bound by a record each.
3. One thread takes. What it has taken counts until it says that it is done with it.
4. After a caller has waited in vain, the next ones do not wait: what does not fit is dropped at once, until
   the buffer is half empty. So an outage costs the program one wait, and not one for each record.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

Item = tuple[tuple[Any, ...], int]
"""What was taken from a record, and its bytes."""
SMALL_BYTES = 1 << 10
"""Bytes that a small record counts as, and that it has at most."""
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

    # Slots, and the identity of the other thread here: a call that logs should touch few objects, because
    # mostly none of them is in the processor's cache.
    __slots__ = (
        *("closed", "spells", "taker", "_asleep", "_bytes_max", "_done", "_dropped", "_dropped_first_s"),
        *("_dropped_last_s", "_finished", "_full", "_guard", "_items", "_large_bytes", "_records_max"),
        *("_room", "_taken", "_untold", "_wait_s", "_wakes"),
    )

    def __init__(self, records_max: int, bytes_max: int, wait_s: float) -> None:
        self._records_max, self._bytes_max, self._wait_s = records_max, bytes_max, wait_s
        self._guard = threading.RLock()
        self._items: deque[Item] = deque()
        self._taken = self._finished = 0  # records, since the beginning
        self._large_bytes = 0  # of all that is not done, beyond what a small record counts as
        self._room = 0  # up to this number of items, a small record may be put without a further look
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self._full = False  # a caller has waited in vain
        self._dropped = self._untold = 0
        self._dropped_first_s = self._dropped_last_s = 0.0
        self._done = threading.Condition()  # of an RLock
        self.closed = False
        self.spells = 0
        """How often it began to drop records."""
        self.taker: int | None = None
        """The identity of the thread that takes; None before there is one."""
        self._make_room()

    @property
    def waiting(self) -> int:
        """The number of records that are not stored yet."""
        return self._taken - self._finished + len(self._items)

    @property
    def dropped(self) -> int:
        """The number of records that were dropped."""
        return self._dropped

    def put(self, item: Item) -> bool:
        """Add what was taken from a record; False if it was dropped: there is no room, or no longer."""
        items = self._items
        count = len(items)
        if count < self._room and item[1] <= SMALL_BYTES:
            items.append(item)
            if self._asleep or count == _HURRY_RECORDS:
                self._wake()
            return True
        if self._put_large(item) or (not self._full and self.put_within(item, self._wait_s)):
            return True
        self.drop(1)
        return False

    def put_within(self, item: Item, wait_s: float) -> bool:
        """Do the same, but wait that long in any case; what finds no room is not counted as dropped."""
        until_s = time.monotonic() + wait_s
        while not self._put_large(item):
            left_s = until_s - time.monotonic()
            if left_s <= 0 or self.closed:
                return False
            time.sleep(min(left_s, _LOOK_AGAIN_S))
        return True

    def _put_large(self, item: Item) -> bool:
        """Add a record of any size, if there is room for it; one alone always has room."""
        more = max(0, item[1] - SMALL_BYTES)
        with self._guard:
            if self.closed:
                return False
            records = self.waiting + 1
            held = self._large_bytes + more + records * SMALL_BYTES
            if records > 1 and (records > self._records_max or held > self._bytes_max):
                return False
            self._large_bytes += more
            self._items.append(item)
            self._make_room()
            self._wake()
        return True

    def _make_room(self) -> None:
        """Say how many items there may be, after what is not among them has changed."""
        small = (self._bytes_max - self._large_bytes) // SMALL_BYTES
        self._room = 0 if self.closed else min(self._records_max, small) - (self._taken - self._finished)

    def _wake(self) -> None:
        self._asleep = False
        self._wakes.put(None)

    def drop(self, records: int) -> None:
        """Count records that are lost."""
        now_s = time.time()
        with self._guard:
            self.spells += not self._full
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
        self._asleep = True  # before the look: who puts after it, sees this
        if not self._items and not self.closed:
            self._wakes.get()
        self._asleep = False
        if not self.closed and len(self._items) < _HURRY_RECORDS:
            self.pause(gather_s)

    def take(self) -> list[Item]:
        """Return all that waits."""
        items = self._items
        with self._guard:
            found = [items.popleft() for _ in range(len(items))]
            self._taken += len(found)
            self._make_room()
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

    def done(self, items: list[Item]) -> None:
        """Say that some of what was taken is stored, or given up."""
        with self._guard:
            self._finished += len(items)
            self._large_bytes -= sum(size - SMALL_BYTES for _, size in items if size > SMALL_BYTES)
            self._make_room()
            held = self._large_bytes + self.waiting * SMALL_BYTES
            if self.waiting * 2 <= self._records_max and held * 2 <= self._bytes_max:
                self._full = False
        with self._done:
            self._done.notify_all()

    def wait_until_done(self, timeout_s: float | None) -> bool:
        """Wait until all that was put before this call is done; False if it takes longer."""
        with self._guard:
            put = self._taken + len(self._items)
        self.hurry()
        with self._done:
            return self._done.wait_for(lambda: self._finished >= put, timeout_s)

    def close(self) -> None:
        """Take nothing more, and wake the thread that takes."""
        with self._guard:
            self.closed = True
            self._make_room()
        self.hurry()
