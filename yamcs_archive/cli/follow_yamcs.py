"""``events import yamcs --follow``: runs the follower on a thread, reports its progress, ends by a signal."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path

from yamcs_archive.cli.import_report import faults, totals
from yamcs_archive.importers.follow import Followed, Following
from yamcs_archive.importers.yamcs import History
from yamcs_archive.instance import Instance
from yamcs_archive.times import format_rfc3339

_LOOK_S = 0.5
"""Longest time between two checks for a signal, in seconds."""
_STOP_S = 5.0
"""Longest wait for the step under way to end, in seconds."""
_SAY_S = 1.0
"""Shortest time between two lines about a history that is read, in seconds."""


def follow(history: History, instance: Instance, folder: Path) -> int:
    """Follow until Ctrl-C or SIGTERM; print the counts. Returns 0, or raises KeyboardInterrupt."""
    log = FollowLog(instance.name, _say)
    following = Following(history, instance, folder, log)
    done: Future[None] = Future()

    def run() -> None:
        try:
            following.run()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    # A KeyboardInterrupt is raised in this thread. In the middle of a step it could leave a lock taken, so
    # the steps run in another thread, a daemon, for which the process does not wait at its end.
    thread = threading.Thread(target=run, name="yamcs-archive-follow", daemon=True)
    with _terminated() as terminated:
        try:
            thread.start()
            # Wait in intervals: a signal just before an endless wait would be handled only after it.
            while not terminated.is_set() and not wait([done], _LOOK_S).done:
                pass
            if done.done():
                done.result()
        finally:
            following.stop()
            wait([done], _STOP_S)
            print(totals(instance.name, following.done), flush=True)
    return 0


@contextmanager
def _terminated() -> Iterator[threading.Event]:
    """Give an event that is set by SIGTERM, which ends the process within this block no longer."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event  # in a program of another kind, which has its own ways to end this
        return
    before = signal.signal(signal.SIGTERM, lambda *_: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)


class FollowLog:
    """Turns progress into a few lines: what is read, that it follows, why it waits, what was not stored.

    >>> from yamcs_archive.importers.yamcs import Imported
    >>> log = FollowLog("sim", print)
    >>> log(Followed(Imported(read=2, stored=2), live=True))
    sim: following; 2 read, 2 stored so far
    >>> log(Followed(Imported(read=3, stored=3), live=True))
    >>> log(Followed(Imported(read=3, stored=3), live=False, trouble="http://ops: it closed the connection"))
    sim: http://ops: it closed the connection; trying again
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._state = ""
        self._said_s = time.monotonic()
        self._shown = {"conflicts": 0, "refused": 0}
        self._restarts = 0

    def __call__(self, progress: Followed) -> None:
        """Write the lines that the progress is worth."""
        done = progress.done
        for line in faults(done, **self._shown):
            self._say(line)
        self._shown = {"conflicts": len(done.conflicts), "refused": len(done.refused)}
        if done.restarts > self._restarts:
            self._restarts = done.restarts
            self._say(f"{self._name}: the server's history was replaced: reading it from the beginning")
        if progress.trouble is not None:
            if self._state != "trouble":
                self._say(f"{self._name}: {progress.trouble}; trying again")
            self._state = "trouble"
        elif progress.live:
            if self._state != "live":
                self._say(f"{self._name}: following; {done.read} read, {done.stored} stored so far")
            self._state = "live"
        elif time.monotonic() - self._said_s >= _SAY_S:
            self._said_s = time.monotonic()
            up_to = "" if done.reached is None else f", up to {format_rfc3339(done.reached)}"
            self._say(f"{self._name}: {done.read} read{up_to}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
