"""The thread that stores what waits: one for each handler and process.

1. It ends only when the handler is closed. What fails is tried again, with pauses that grow. A record that is
   refused for its own sake is dropped instead, because all others wait behind it.
2. Trouble that lasts is told once for each spell of it, and so is its end. What was dropped is told in the
   archive too, by an event of its own.
3. What is logged in this thread is not stored (:meth:`Worker.is_current`): it would be stored because
   something was stored, and so on.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from threading import get_ident
from typing import Any, Protocol

from yamcs_archive.errors import InvalidInputError, NumbersExhaustedError, shown
from yamcs_archive.logging.buffer import Buffer, Dropped, Item
from yamcs_archive.logging.records import Taken
from yamcs_archive.times import format_rfc3339

NAME = "yamcs_archive.logging"
"""The source of the events that tell of dropped records."""
_CHUNK_RECORDS, _CHUNK_BYTES = 5_000, 4 << 20
"""Largest number of records that are stored together, and the bytes after which no further one is added."""
_PAUSE_S, _PAUSE_S_MAX = 0.25, 10.0
"""Seconds before something is tried again: at first, and at most."""
_TELL_S = 1.0
"""Least seconds between two events that tell of dropped records, while records are being dropped."""

Tell = Callable[[str, BaseException | None], None]
"""Tells the program of trouble, with the error if there is one."""


class Place(Protocol):
    """What the thread needs of a place where records are stored."""

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be stored there any more."""

    def prepared(self, records: list[tuple[Any, ...]]) -> list[Any]:
        """Return records in the form in which this place takes them."""

    def store(self, batch: list[Any]) -> int:
        """Store what :meth:`prepared` made, and empty the list; return the number of those no longer kept.

        After an error the list has those that are not stored, or may not be.
        """

    def renew(self, error: Exception) -> None:
        """Look whether something is different now, after an error."""

    def close(self) -> None:
        """Release what was opened for it."""

    def __str__(self) -> str: ...


class Worker:
    """Stores the records of a buffer at a place."""

    def __init__(self, buffer: Buffer, place: Place, gather_s: float, tell: Tell) -> None:
        self._buffer, self._place, self._gather_s, self._tell = buffer, place, gather_s, tell
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        self._told_s = -_TELL_S
        self._trouble_since_s: float | None = None

    def is_current(self) -> bool:
        """Whether the caller is the thread that stores."""
        return get_ident() == self._buffer.taker

    def start(self) -> bool:
        """Start the thread, and return True, unless it was started before.

        At the end of the interpreter none can be started any more.
        """
        with self._starting:
            if self._thread is not None:
                return False
            self._thread = threading.Thread(target=self._run, name="yamcs-archive-logging", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                self._thread = None
                return False
            return True

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until all that was logged before is stored, or dropped; False if it takes longer."""
        if self._thread is None or not self._thread.is_alive():
            self._last_pass()
        return self._buffer.wait_until_done(timeout_s)

    def end(self, timeout_s: float) -> None:
        """Try once to store what is left, and end; the buffer is closed. Wait that long at most."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            self._last_pass()
        elif not self.is_current():
            thread.join(timeout_s)

    def _run(self) -> None:
        self._buffer.taker = get_ident()
        while not self._buffer.closed:
            self._buffer.gather(self._gather_s)
            self._pass()
        self._pass()

    def _last_pass(self) -> None:
        """Store what is left, on the thread of a caller."""
        self._buffer.taker = get_ident()
        try:
            self._pass()
        finally:
            self._buffer.taker = None

    def _pass(self) -> None:
        """Store what there is, and tell what was dropped."""
        try:
            for chunk in _chunks(self._buffer.take()):
                self._store(chunk)
            self._store([])
        except Exception as error:  # a fault of this package: the thread must go on all the same
            self._tell("records may be lost", error)

    def _store(self, chunk: list[Item]) -> None:
        """Store records, and try until they are stored; only once when the handler is being closed."""
        notices = self._notices()
        batch: list[Any] = []
        try:
            batch = self._place.prepared([values for values, _ in chunk] + notices)
            pause_s, failures = _PAUSE_S, 0
            while batch:
                left = len(batch)
                error = self._try(batch)
                if error is None:
                    self._recovered()
                    continue
                failures += 1
                ending = self._buffer.closed or self._place.is_gone
                if ending or failures > 1:  # a connection that ends between two requests is no trouble
                    self._troubled(error)
                if ending:
                    break
                self._renew(error)
                pause_s = _PAUSE_S if len(batch) < left else min(pause_s * 2, _PAUSE_S_MAX)
                self._buffer.pause(pause_s)
        finally:
            if lost := max(0, len(batch) - len(notices)):
                self._buffer.drop(lost)
            self._buffer.done(chunk)

    def _try(self, batch: list[Any]) -> Exception | None:
        """Store what can be stored, and return the error if there was one that may pass."""
        try:
            expired = self._place.store(batch)
        except (InvalidInputError, NumbersExhaustedError) as error:
            if isinstance(error, InvalidInputError) and error.field == "proxy":
                return error
            self._tell(f"a record was refused, and is dropped: {shown(batch.pop(0))}", error)
            self._buffer.drop(1)
        except Exception as error:
            return error
        else:
            if expired:
                self._tell(
                    f"{expired} records are older than what {self._place} keeps, and are dropped", None
                )
                self._buffer.drop(expired)
        return None

    def _renew(self, error: Exception) -> None:
        try:
            self._place.renew(error)
        except Exception as another:
            self._troubled(another)

    def _troubled(self, error: Exception) -> None:
        if self._trouble_since_s is None:
            self._trouble_since_s = time.monotonic()
            ending = self._buffer.closed or self._place.is_gone
            what = "are dropped" if ending else "wait, and are tried again"
            self._tell(f"cannot store in {self._place}: {self._buffer.waiting} records {what}", error)

    def _recovered(self) -> None:
        if self._trouble_since_s is not None:
            lasted_s = time.monotonic() - self._trouble_since_s
            self._trouble_since_s = None
            dropped = f"{self._buffer.dropped} records were dropped so far"
            self._tell(f"stores again in {self._place}, after {lasted_s:.1f} s; {dropped}", None)

    def _notices(self) -> list[tuple[Any, ...]]:
        """Return the record that tells of dropped ones, if there were any."""
        now_s = time.monotonic()
        if self._buffer.is_full and now_s - self._told_s < _TELL_S and not self._buffer.closed:
            return []
        dropped = self._buffer.told()
        if dropped is None:
            return []
        self._told_s = now_s
        return [_notice(dropped)]


def _notice(dropped: Dropped) -> tuple[Any, ...]:
    first, last = (format_rfc3339(int(each * 1_000_000)) for each in (dropped.first_s, dropped.last_s))
    return tuple(
        Taken(
            attributes={"dropped": dropped.records, "dropped.first": first, "dropped.last": last},
            exception=None,
            stack=None,
            task=None,
            message=f"{dropped.records} log records were dropped: there was no room for them",
            source=NAME,
            type="RECORDS_DROPPED",
            created=dropped.first_s,
            level=logging.WARNING,
            level_name="WARNING",
            logger=NAME,
            process=os.getpid(),
        )
    )


def _chunks(items: list[Item]) -> Iterator[list[Item]]:
    """Yield the records in lists that are not too long."""
    chunk: list[Item] = []
    size_bytes = 0
    for item in items:
        chunk.append(item)
        size_bytes += item[1]
        if len(chunk) >= _CHUNK_RECORDS or size_bytes >= _CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk
