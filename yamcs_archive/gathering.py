"""Takes events from a caller's iterable, and hands them over: a full chunk at once, any event soon; no I/O.

1. Each event gets a reading of the archive's clock when it is taken, not when its chunk is handed over: a
   live iterable may yield one event a minute.
2. The iterable runs on the caller's thread alone. While it is slow, another thread hands over what waits, so
   that an event waits :data:`~yamcs_archive.limits.GATHERED_WAIT_S` seconds at most, and then for its commit.
3. One chunk is handed over at a time, in order, and none after one that failed.
4. One thread of the process watches all iterables, for as long as there are any: to start one for each costs
   as much as the commit of a few events.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import compress, islice, repeat
from operator import floordiv, is_not

from yamcs_archive.errors import ForkedError
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.limits import CHUNK_BYTES_MAX, CHUNK_EVENTS_MAX, GATHERED_WAIT_S
from yamcs_archive.storage.interrupts import LOOK_AGAIN_S, Hold, start_thread
from yamcs_archive.times import now_us

HandOver = Callable[[list[Event], "array[int]"], None]
"""What is called with a chunk: its events, and the reading of the clock for each."""
_STEP_EVENTS = 32
"""Largest number of events between two checks of a chunk's size: at most 32 MiB of messages."""
_IDLE_LOOKS = 16
"""Looks of the watching thread without anything to watch, after which it ends."""


def hand_over_gathered(events: Iterable[Event], clock: Callable[[], int], hand_over: HandOver) -> None:
    """Take all events, and hand them over in chunks; return when all were handed over.

    A chunk has up to 10,000 events or about 2 MiB of text, and less if one of its events has waited for long
    enough. An error of ``hand_over`` ends this, at the next event if it came on the other thread; of
    ``events``, after the events before it were handed over.

    >>> hand_over_gathered([Event("a"), Event("b")], lambda: 5, lambda *chunk: print(len(chunk[0]), chunk[1]))
    2 array('q', [5, 5])
    """
    gathering = _Gathering(clock, hand_over, Hold())
    try:
        _watch().add(gathering)
        gathering.take_all(events)
    finally:
        gathering.ended = True


class _Gathering:
    """The events of one iterable that are taken and not handed over yet."""

    def __init__(self, clock: Callable[[], int], hand_over: HandOver, caller: Hold) -> None:
        self._clock = clock
        self._hand_over = hand_over
        self._caller = caller
        # The caller's thread appends, and the other one sees what it has appended within a call of extend().
        # Two lists, because a pair for each event would make a generator's append a quarter slower.
        self._held: list[Event] = []
        self._stamps: list[int] = []
        self._done = 0  # how many of them were handed over; for the thread that has the turn
        self._turn = threading.Lock()  # of handing over
        self._seen = 0  # how many of them had been taken at the last look
        self._failures: list[BaseException] = []  # on the other thread
        self._pid = os.getpid()
        self.ended = False

    @property
    def goes_on(self) -> bool:
        """False once all is handed over, has failed, or the caller was interrupted."""
        return not self.ended and not self._failures and self._caller.held

    def take_all(self, events: Iterable[Event]) -> None:
        """See :func:`hand_over_gathered`."""
        supply = iter(events)
        readings = _readings(self._clock)
        while self._take_chunk(supply, readings):
            self._in_turn()
        self._in_turn()

    def _take_chunk(self, supply: Iterator[Event], readings: Iterator[int]) -> bool:
        """Take events until they are a full chunk; return False at the end of the supply."""
        held = self._held
        # All in C. ``compress`` asks for the event first: its stamp is read after it came. Once the other
        # thread has failed, the selectors end, and with them the supply, at the next event.
        goes_on = iter(self._failures.__len__, 1)
        stamped = compress(supply, map(is_not, map(self._stamps.append, readings), goes_on))
        size_bytes = 0
        while len(held) < CHUNK_EVENTS_MAX and size_bytes < CHUNK_BYTES_MAX:
            taken = len(held)
            try:
                step = min(_STEP_EVENTS, CHUNK_EVENTS_MAX - taken)
                held.extend(islice(stamped, step))  # keeps the earlier events if the supply fails
            except Exception:
                self._in_turn()
                raise
            if len(held) == taken or self._failures:
                return False
            with suppress(Exception):  # what is no event is refused later
                size_bytes += sum(map(event_bytes, held[taken:]))
        return True

    def _in_turn(self) -> None:
        """Hand over what is held, on the caller's thread, once the other one has ended doing that."""
        while not self._turn.acquire(timeout=LOOK_AGAIN_S):
            if os.getpid() != self._pid:  # no thread of a forked child will release it
                raise ForkedError
        try:
            if self._failures:
                raise self._failures[0]
            self._hand_over_held()
            self._held, self._stamps, self._done, self._seen = [], [], 0, 0
        finally:
            self._turn.release()

    def _hand_over_held(self) -> None:
        start, stop = self._done, len(self._held)  # of the event after these, only the stamp may be there
        self._done = stop
        if stop > start:
            self._hand_over(self._held[start:stop], array("q", self._stamps[start:stop]))

    def look(self) -> None:
        """Have another thread hand over what was there at the last look already."""
        seen, self._seen = self._seen, len(self._held)
        if seen > self._done:
            try:
                start_thread(self._try_in_turn)  # a commit may take long, and others are watched too
            except RuntimeError:  # the system refuses another thread
                self._try_in_turn()

    def _try_in_turn(self) -> None:
        """Hand over what is held, unless another thread is doing that."""
        if not self._turn.acquire(blocking=False):
            return
        try:
            if self.goes_on:
                self._hand_over_held()
        except BaseException as error:  # it is raised on the caller's thread
            self._failures.append(error)
        finally:
            self._turn.release()


class _Watch:
    """The thread that looks at all gatherings of this process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._watched: list[_Gathering] = []
        self._runner: Hold | None = None
        self._lock = threading.Lock()  # guards both; held for moments

    def add(self, gathering: _Gathering) -> None:
        """Look at it from now on."""
        with self._lock:
            self._watched.append(gathering)
            runs = self._runner is not None and self._runner.held
        if not runs:
            # If the system refuses another thread, only full chunks are handed over.
            with suppress(RuntimeError):
                start_thread(self._run)

    def _run(self) -> None:
        mine = Hold()
        with self._lock:
            if self._runner is not None and self._runner.held:
                return
            self._runner = mine
        idle = 0
        while idle < _IDLE_LOOKS:
            time.sleep(GATHERED_WAIT_S / 2)
            with self._lock:
                watched = self._watched = [gathering for gathering in self._watched if gathering.goes_on]
                idle = 0 if watched else idle + 1
                if idle == _IDLE_LOOKS:
                    mine.end()
            for gathering in watched:
                gathering.look()


def _watch() -> _Watch:
    global _the_watch  # noqa: PLW0603  # one for the process
    if _the_watch.pid != os.getpid():  # a forked child has no thread of its parent
        _the_watch = _Watch()
    return _the_watch


_the_watch = _Watch()


def _readings(clock: Callable[[], int]) -> Iterator[int]:
    """Yield a reading of the clock whenever one is asked for."""
    if clock is now_us:  # the same in half the time
        return map(floordiv, iter(time.time_ns, None), repeat(1000))
    return iter(clock, None)
