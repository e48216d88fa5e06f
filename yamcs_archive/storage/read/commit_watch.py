"""Waiting for the next commit: futures that are done after it, on a thread of their own.

1. A commit only rings a bell, and only if there are waiters. Callbacks of the futures run on the watch's
   thread, so they can neither delay a commit nor end the writer.
2. The thread starts with the first waiter. If another process writes there is no bell, so the thread reads
   the head from time to time, as long as there are waiters.
3. No ring is missed: a waiter is registered before the head is read, a commit moves the head before it checks
   for waiters, and a ring while the head is read ends the wait that follows.
"""

from __future__ import annotations

import _thread
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from yamcs_archive.errors import ClosedError, UnavailableError
from yamcs_archive.storage.interrupts import SafeFuture, Signal

_log = logging.getLogger(__name__)

LOOK_S = 0.1
"""Seconds between two reads of the head when another process writes; each takes some 30 us."""


class _Wait(NamedTuple):
    commit: int
    until_s: float | None
    """By :func:`time.monotonic`; None is for ever."""


class CommitWatch:
    """Futures for the next commit after a known one. ``head`` returns the number of the newest commit.

    ``look_s``: seconds between two reads of the head; None: each commit calls :meth:`notify`.
    """

    def __init__(self, head: Callable[[], int], look_s: float | None = None) -> None:
        self._head = head
        self._look_s = look_s
        self._waiting: dict[Future[None], _Wait] = {}
        self._bell = Signal()
        self._starting = threading.Lock()
        self._started = False
        self._closed = False

    def notify(self) -> None:
        """Say that the head has moved; costs nothing when nobody waits."""
        if self._waiting:
            self._bell.tell()

    def after(self, commit: int, timeout_s: float | None) -> Future[None]:
        """Return a future that is done after a later commit, after ``timeout_s`` seconds, or at close.

        It may be cancelled. Raises ClosedError.
        """
        future = SafeFuture[None]()
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._starting:
            if self._closed:
                raise ClosedError
            self._waiting[future] = _Wait(commit, until_s)
            if not self._started:
                self._started = True  # first, because two threads would take each other's rings
                try:
                    _thread.start_new_thread(self._run, ())  # as in uninterrupted()
                except RuntimeError as error:
                    self._started = False
                    del self._waiting[future]
                    raise UnavailableError(f"{error}; raise the limit of threads (ulimit -u)") from error
        future.add_done_callback(self._forget)
        self._bell.tell()
        return future

    def close(self) -> None:
        """End all waits; idempotent."""
        with self._starting:
            self._closed = True
        self._bell.tell()

    def _forget(self, future: Future[None]) -> None:
        # cancel() calls this on any thread; one operation of a dict is atomic.
        self._waiting.pop(future, None)

    def _run(self) -> None:
        while not (self._closed and not self._waiting):
            done, pause_s = self._due()
            for future, error in done:
                self._waiting.pop(future, None)  # Ctrl-C may have come before its callback was set
                _end(future, error)
            if not (done or self._closed):
                self._bell.wait(pause_s)

    def _due(self) -> tuple[list[tuple[Future[None], BaseException | None]], float | None]:
        """Return the futures that are done, and how long to wait for the next one."""
        waiting = self._waiting.copy()
        if not waiting:
            return [], None
        if self._closed:
            return [(future, None) for future in waiting], None
        try:
            head = self._head()
        except Exception as error:  # the waiters must get it: they cannot be told of a commit
            return [(future, error) for future in waiting], None
        now_s = time.monotonic()
        done: list[tuple[Future[None], BaseException | None]] = [
            (future, None)
            for future, wait in waiting.items()
            if wait.commit < head or (wait.until_s is not None and wait.until_s <= now_s)
        ]
        pauses_s = [wait.until_s - now_s for wait in waiting.values() if wait.until_s is not None]
        if self._look_s is not None:
            pauses_s.append(self._look_s)
        return done, min(pauses_s, default=None)


def _end(future: Future[None], error: BaseException | None) -> None:
    try:
        if not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
    except BaseException as fault:  # concurrent.futures itself catches what is an Exception
        _log.error("a callback of arrival() raised %r", fault)
