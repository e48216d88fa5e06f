"""Answers that wait for something to be stored: how many there may be, and their end when serving ends.

A poll may wait for minutes. Where each holds a thread, too many would leave none for storing events, and
where it holds none it still holds a connection and memory.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from yamcs_archive.errors import UnavailableError
from yamcs_archive.http.messages import Pending


class Polls:
    """The polls that wait. Safe to use from many threads."""

    def __init__(self, polls_max: int) -> None:
        self._polls_max = polls_max
        self._lock = threading.Lock()
        self._open: dict[Future[Any], Future[Any]] = {}
        self._ending = False

    def admit(self, poll: Pending) -> Pending:
        """Return what to answer with in the poll's stead, which ends with it.

        Cancelling the future of what is returned gives the poll up. Raises UnavailableError when there are
        too many, and when serving ends: who polls would ask again at once, and again.
        """
        ended: Future[Any] = Future()
        with self._lock:
            why = "serving ends" if self._ending else ""
            if len(self._open) >= self._polls_max:
                why = f"{self._polls_max} polls are under way, the limit"
            if not why:
                self._open[ended] = poll.future
        if why:
            poll.future.cancel()
            raise UnavailableError(f"{why}: ask again later, or without wait")
        ended.add_done_callback(self._left)
        poll.future.add_done_callback(lambda _: _end(ended))
        return Pending(ended, lambda _: poll.finish(poll.future), poll=True)

    def end(self) -> None:
        """Let all polls answer now, with what there is, and refuse further ones."""
        with self._lock:
            self._ending = True
            waiting = list(self._open)
        for ended in waiting:
            _end(ended)

    def _left(self, ended: Future[Any]) -> None:
        with self._lock:
            waited = self._open.pop(ended, None)
        if waited is not None:
            waited.cancel()  # does nothing when it is what ended


def _end(ended: Future[Any]) -> None:
    with suppress(InvalidStateError):  # it ended meanwhile, or was given up
        ended.set_result(None)
