"""Waiting for what is stored next: futures that are done after a commit, on a thread of their own.

1. Whoever commits only rings a bell, and only when somebody waits; callbacks of the futures run on this
   room's thread, so nothing that they do can hold up a commit or end a writer.
2. The thread begins with the first who waits. Where another process writes there is no bell, so it looks
   at the medium from time to time, as long as somebody waits.
3. A bell cannot be missed: a waiter is entered before the head is read, a commit moves the head before it
   looks for waiters, and a ring during a look ends the wait after it.
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
"""How often the medium is looked at when another process writes: a look takes some 30 us."""


class _Wait(NamedTuple):
    commit: int
    until_s: float | None
    """By :func:`time.monotonic`; None is for ever."""


class CommitWatch:
    """Those who wait for a commit behind one that they know. ``head`` tells the number of the newest."""

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
        """Return a future that is done once there is a commit behind that one, after a time, or at close.

        It may be cancelled. Raises ClosedError.
        """
        future = SafeFuture[None]()
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._starting:
            if self._closed:
                raise ClosedError
            self._waiting[future] = _Wait(commit, until_s)
            if not self._started:
                self._started = True  # first: two threads would take each other's rings
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
        """Let nobody wait any longer; idempotent."""
        with self._starting:
            self._closed = True
        self._bell.tell()

    def _forget(self, future: Future[None]) -> None:
        # Within cancel() it runs on any thread; a step of a dict is whole.
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
        """Return who has waited long enough, and how long to wait for the next one."""
        waiting = self._waiting.copy()
        if not waiting:
            return [], None
        if self._closed:
            return [(future, None) for future in waiting], None
        try:
            head = self._head()
        except Exception as error:  # whoever waits must hear of it, once the medium cannot be read
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
