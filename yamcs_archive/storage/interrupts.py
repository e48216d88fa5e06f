"""Holding and waiting that a KeyboardInterrupt may cut short at any step, without lasting for ever.

An interrupt is raised on the main thread as a call returns, as a function begins or as a loop goes round: in
a ``finally``, an ``__enter__`` or an ``__exit__`` written in Python too. So nothing can rely on code that
undoes it; and ``threading.Condition``, ``Event`` and ``Semaphore``, which are written in Python, may keep
their lock for ever. This is relied on instead:

1. A right is held by a frame: see :class:`Hold`. Once that frame has ended the right is free, whatever ended
   it, even while a traceback that somebody keeps still refers to the frame.
2. Bare locks, held for moments: ``with`` takes or returns a lock written in C within one step.
3. A waiting thread is entered before it looks, and looks again after :data:`LOOK_AGAIN_S` seconds at the
   latest, so that a wake-up which an interrupt has swallowed is a delay.
4. Work that must be done whole runs on a thread to which no interrupt comes: see :func:`uninterrupted`.

Law: ``tests/storage/test_interrupts.py``.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import TypeVar, cast

from yamcs_archive.errors import ForkedError

T = TypeVar("T")

LOOK_AGAIN_S = 0.05
"""The longest time for which a swallowed wake-up delays whoever waits, in seconds."""


def ended(frame: FrameType) -> bool:
    """Say whether a frame has ended; one that has loses its local variables.

    A frame that an exception's traceback keeps has ended like any other, though what it refers to lives on.
    Not for the frame of a generator that yields while it has a right: it would be closed.

    >>> def frame():
    ...     return sys._getframe()
    >>> ended(frame()), ended(sys._getframe())
    (True, False)
    """
    try:
        frame.clear()
    except RuntimeError:  # it is running
        return False
    return True


class Hold:
    """A right that the frame which makes this has, until :meth:`end` or until the frame has ended.

    >>> def interrupted():
    ...     holds.append(Hold())
    >>> holds = []
    >>> interrupted()
    >>> holds[0].held, Hold().held
    (False, True)
    """

    __slots__ = ("_frame", "thread")

    def __init__(self, frame: FrameType | None = None) -> None:
        self._frame = frame or sys._getframe(1)
        self.thread = threading.get_ident()
        """The identity of the thread that has the right."""

    @property
    def held(self) -> bool:
        """True until it is ended or its frame has ended."""
        frame = self._frame
        return frame is not None and not ended(frame)

    def end(self) -> None:
        """Give the right back; idempotent."""
        self._frame = cast(FrameType, None)  # it would keep the frame, and the frame this


class Signal:
    """Wakes the one thread that waits for it; told several times before it waits, it wakes it once."""

    def __init__(self) -> None:
        self._untold = threading.Lock()
        self._untold.acquire()

    def tell(self) -> None:
        """Let the waiting thread go on, or not wait the next time."""
        try:
            self._untold.release()
        except RuntimeError:
            return  # it was told already

    def wait(self, timeout_s: float | None = None) -> None:
        """Return once told, or after some seconds."""
        self._untold.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


class Bell:
    """Wakes all who wait for something to become true."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Lock] = deque()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return once ``ready()`` is true. It is asked again at each ring, and now and then without one."""
        waiter: threading.Lock | None = None
        while not ready():
            if waiter is None:
                waiter = threading.Lock()
                waiter.acquire()
                self._waiting.append(waiter)  # then it looks again: what rang before found nobody
            elif waiter.acquire(timeout=LOOK_AGAIN_S):
                waiter = None

    def ring(self) -> None:
        """Have all who wait look again."""
        for _ in range(len(self._waiting)):
            try:
                self._waiting.popleft().release()
            except IndexError:  # another thread rings too
                return


class _Guard(_thread.RLock):  # type: ignore[misc]  # final by its stub only
    """The condition that guards a future's state; ``with`` takes or returns it within one step."""

    _waiting: tuple[threading.Lock, ...] = ()

    def wait(self, timeout: float | None = None) -> bool:
        """Let others in until one of them notifies; who calls it is inside, once."""
        waiter = threading.Lock()
        waiter.acquire()
        self._waiting += (waiter,)
        try:
            self.release()
            return waiter.acquire(timeout=-1 if timeout is None else max(timeout, 0))
        finally:
            self.acquire()

    def notify_all(self) -> None:
        """Wake all who wait."""
        woken, self._waiting = self._waiting, ()
        for waiter in woken:
            waiter.release()


class SafeFuture(Future[T]):
    """A future whose end cannot be held up by an interrupt in a thread that waits for it.

    In a forked child, in which nobody ends it, waiting raises ForkedError.
    """

    def __init__(self) -> None:
        super().__init__()
        self._condition = cast(threading.Condition, _Guard())
        self._pid = os.getpid()

    def result(self, timeout: float | None = None) -> T:
        """Wait, then return the result or raise the error; TimeoutError after so many seconds."""
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, then return the error, or None; TimeoutError after so many seconds."""
        self._await(timeout)
        return super().exception(0)

    def _await(self, timeout: float | None) -> None:
        if self.done():
            return
        if os.getpid() != self._pid:
            raise ForkedError
        done = Signal()
        self.add_done_callback(lambda _: done.tell())
        done.wait(timeout)


def uninterrupted(run: Callable[[], T]) -> T:
    """Run something on a thread to which no KeyboardInterrupt comes; return or raise what it does.

    An interrupt ends the wait for it; what runs goes on to its end. Where the system has no thread left, and
    while the interpreter ends, from Python 3.12 on, it runs on the caller's own.

    >>> uninterrupted(lambda: 1 + 1)
    2
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = Signal()

    def work() -> None:
        try:
            results.append(run())
        except BaseException as error:  # it must reach the caller
            errors.append(error)
        if sys.version_info < (3, 12):  # which does it by itself
            # What asked for the current thread has entered one that is never taken out.
            threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]
        done.tell()

    # Not threading.Thread: an interrupt while it starts could keep the lock that the new thread waits for.
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:  # there is none to be had; an interrupt in what runs is the lesser evil
        return run()
    done.wait()
    if errors:
        raise errors.pop()
    return results.pop()
