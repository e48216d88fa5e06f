"""Holding and waiting that a KeyboardInterrupt may cut short at any step, without lasting for ever.

An interrupt is raised on the main thread as a call returns, as a function begins or as a loop goes round: in
a ``finally``, an ``__enter__`` or an ``__exit__`` written in Python too. So nothing can rely on code that
undoes things; and ``threading.Condition``, ``Event`` and ``Semaphore``, which are written in Python, may keep
their lock for ever. This is relied on instead:

1. A right is held by a frame: see :class:`Hold`. Once that frame has ended the right is free, whatever ended
   it, even while somebody keeps a traceback that refers to the frame.
2. Bare locks, held for moments: ``with`` takes or returns a lock written in C within one step.
3. A waiting thread is entered before it looks, and looks again after :data:`LOOK_AGAIN_S` seconds at the
   latest: a wake-up that is lost to an interrupt only delays it.
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
"""The longest delay after a lost wake-up, in seconds."""


def ended(frame: FrameType) -> bool:
    """Return whether a frame has ended; if it has, its local variables are cleared.

    A frame in a traceback that is kept has ended like any other. Not for the frame of a generator that yields
    while it has a right: the generator would be closed.

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
    """A right of the frame that makes this object, until :meth:`end` is called or the frame has ended.

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
        self._frame = cast(FrameType, None)  # or this and the frame would keep each other


class Signal:
    """Wakes the one thread that waits for it; several calls of :meth:`tell` before it waits wake it once."""

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
        """Return once :meth:`tell` was called, or after ``timeout_s`` seconds; None: no bound."""
        self._untold.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


class Bell:
    """Wakes all threads that wait for something to become true."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Lock] = deque()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return once ``ready()`` is true; it is called at each ring, and without one every 0.05 s."""
        waiter: threading.Lock | None = None
        while not ready():
            if waiter is None:
                waiter = threading.Lock()
                waiter.acquire()
                self._waiting.append(waiter)  # then look again: a ring before this found nobody
            elif waiter.acquire(timeout=LOOK_AGAIN_S):
                waiter = None

    def ring(self) -> None:
        """Let all waiting threads look again."""
        for _ in range(len(self._waiting)):
            try:
                self._waiting.popleft().release()
            except IndexError:  # another thread rings too
                return


class _Guard(_thread.RLock):  # type: ignore[misc]  # final by its stub only
    """The condition that guards a future's state; ``with`` takes or returns it within one step."""

    _waiting: tuple[threading.Lock, ...] = ()

    def wait(self, timeout: float | None = None) -> bool:
        """Let others in until one of them notifies. The caller has entered, once."""
        waiter = threading.Lock()
        waiter.acquire()
        self._waiting += (waiter,)
        try:
            self.release()
            return waiter.acquire(timeout=-1 if timeout is None else max(timeout, 0))
        finally:
            self.acquire()

    def notify_all(self) -> None:
        """Wake all waiting threads."""
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
        """Wait, then return the result or raise the error; TimeoutError after ``timeout`` seconds."""
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, then return the error, or None; TimeoutError after ``timeout`` seconds."""
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
    """Call ``run`` on a thread to which no KeyboardInterrupt comes; return or raise what it does.

    An interrupt ends the wait; ``run`` itself goes on to its end. Where the system has no thread left, and
    while the interpreter ends, from Python 3.12 on, it runs on the caller's own thread.

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
        if sys.version_info < (3, 12):  # later versions do this themselves
            # threading.current_thread() may have entered a dummy thread, which is never taken out.
            threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]
        done.tell()

    # Not threading.Thread: an interrupt in start() could keep the lock that the new thread waits for.
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:  # the system refuses another thread: rather here than not at all
        return run()
    done.wait()
    if errors:
        raise errors.pop()
    return results.pop()
