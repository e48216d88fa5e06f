"""Locks and waits that cannot last for ever after a KeyboardInterrupt at any point.

An interrupt is raised on the main thread when a call returns, a function begins or a loop repeats, even
within a ``finally``, an ``__enter__`` or an ``__exit__`` that is written in Python. So cleanup code may not
run, and ``threading.Condition``, ``Event`` and ``Semaphore``, which are written in Python, may keep their
lock for ever. This module relies on the following instead:

1. A right belongs to a frame: see :class:`Hold`. When that frame has ended, for any reason, the right is
   free, even if a traceback still refers to the frame.
2. Plain locks are held only for moments: ``with`` acquires or releases a lock written in C within one step.
3. A waiting thread registers before it checks its condition, and checks again after :data:`LOOK_AGAIN_S`
   seconds at the latest: a wake-up that an interrupt loses only delays it.
4. Work that must be completed runs on a thread that gets no interrupt: see :func:`uninterrupted`.

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

    A frame to which a traceback refers has ended like any other. Do not use this for the frame of a generator
    that yields while it has a right: the generator would be closed.

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
        """True until :meth:`end` is called or the frame has ended."""
        frame = self._frame
        return frame is not None and not ended(frame)

    def end(self) -> None:
        """Give the right back; idempotent."""
        self._frame = cast(FrameType, None)  # else this object and the frame would refer to each other


class Signal:
    """Wakes the one thread that waits for it. Several calls of :meth:`tell` before the wait wake it once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def tell(self) -> None:
        """Wake the waiting thread, or let its next wait return at once."""
        try:
            self._lock.release()
        except RuntimeError:
            return  # it was called before, and the thread has not waited since

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for :meth:`tell`, for ``timeout_s`` seconds at most; None: without a limit."""
        self._lock.acquire(timeout=-1 if timeout_s is None else max(timeout_s, 0))


class Bell:
    """Wakes all threads that wait for a condition."""

    def __init__(self) -> None:
        self._waiting: deque[threading.Lock] = deque()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until ``ready()`` is true; it is called at each ring, and every 0.05 s without one."""
        waiter: threading.Lock | None = None
        while not ready():
            if waiter is None:
                waiter = threading.Lock()
                waiter.acquire()
                self._waiting.append(waiter)  # then check again: an earlier ring did not wake this thread
            elif waiter.acquire(timeout=LOOK_AGAIN_S):
                waiter = None

    def ring(self) -> None:
        """Let all waiting threads check their condition again."""
        for _ in range(len(self._waiting)):
            try:
                self._waiting.popleft().release()
            except IndexError:  # another thread rings at the same time
                return


class _Guard(_thread.RLock):  # type: ignore[misc]  # final by its stub only
    """What guards a future's state in place of a condition: ``with`` acquires it within one step."""

    def notify_all(self) -> None:
        """Do nothing: a thread waits for the future by a callback of it, not for this."""


class SafeFuture(Future[T]):
    """A future that can be completed even after an interrupt in a thread that waits for it.

    In a forked child, in which no thread completes it, waiting raises ForkedError.
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
        if not self.done():
            raise TimeoutError


def start_thread(run: Callable[[], None]) -> None:
    """Call ``run`` on a thread that gets no KeyboardInterrupt, and that does not outlive the interpreter.

    Raises RuntimeError if the system refuses another thread.

    >>> done = Signal()
    >>> start_thread(done.tell)
    >>> done.wait(60)
    """

    def work() -> None:
        try:
            run()
        finally:
            if sys.version_info < (3, 12):  # later versions do this themselves
                # threading.current_thread() may have registered a dummy thread, which is never removed.
                threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]

    # Not threading.Thread: an interrupt in start() could keep the lock for which the new thread waits.
    _thread.start_new_thread(work, ())


def uninterrupted(run: Callable[[], T]) -> T:
    """Call ``run`` on a thread that gets no KeyboardInterrupt; return its result or raise its error.

    An interrupt ends the wait, but not ``run``. If the system refuses another thread, or the interpreter is
    ending (Python 3.12 and later), it runs on the caller's own thread.

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
        done.tell()

    try:
        start_thread(work)
    except RuntimeError:  # the system refuses another thread
        return run()
    done.wait()
    if errors:
        raise errors.pop()
    return results.pop()
