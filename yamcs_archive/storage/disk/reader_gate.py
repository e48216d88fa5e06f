"""The gate of an environment: many threads read at once, or one thread holds them all off for a moment.

1. A reader registers first, and then checks whether the gate is shut. The other thread shuts the gate first,
   and then checks for readers. So one of the two always sees the other, and reading takes no lock.
2. A registered reader and a shut gate belong to the frame of their ``with`` statement: see :mod:`interrupts`.
   A reader that an interrupt left registered is not counted, and its transaction is ended.
3. The thread that shuts the gate does not read meanwhile.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType, TracebackType

import lmdb

from yamcs_archive.storage.interrupts import Bell, Hold, ended

_READERS_CHECKED_MIN = 64
"""Fewest registered readers at which those that interrupts left are removed, because they use memory."""


class Reader:
    """A reader that is registered at a gate, and its transaction after that has begun."""

    __slots__ = ("_frame", "transaction")

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame
        self.transaction: lmdb.Transaction[bytes] | None = None

    def abandoned(self) -> bool:
        """Return whether its frame has ended; if so, end its transaction."""
        if not ended(self._frame):
            return False
        if self.transaction is not None:
            self.transaction.abort()
        return True


class Gate:
    """The registered readers, and the thread that holds readers off, if any."""

    def __init__(self) -> None:
        self._readers: set[Reader] = set()
        self._shut: Hold | None = None
        self._lock = threading.Lock()
        self._bell = Bell()

    def enter(self, reader: Reader) -> None:
        """Register a reader, after waiting for the gate to open. Call :meth:`leave` afterwards."""
        while True:
            self._readers.add(reader)
            if self._open():
                break
            self.leave(reader)
            self._bell.wait_until(self._open)
        if len(self._readers) >= _READERS_CHECKED_MIN:
            self._empty()

    def leave(self, reader: Reader) -> None:
        """Remove a reader; idempotent."""
        self._readers.discard(reader)
        if self._shut is not None:
            self._bell.ring()

    def exclusive(self) -> _Exclusive:
        """For a ``with`` statement: hold off new readers until its end, and wait for present ones."""
        return _Exclusive(self)

    def _open(self) -> bool:
        shut = self._shut
        return shut is None or not shut.held

    def _empty(self) -> bool:
        """Return whether there is no reader, after removing those that an interrupt left."""
        for reader in tuple(self._readers):
            if reader.abandoned():
                self._readers.discard(reader)
        return not self._readers

    def _shut_by(self, hold: Hold) -> bool:
        with self._lock:
            if self._open():
                self._shut = hold
        return self._shut is hold

    def _let_in(self, hold: Hold) -> None:
        hold.end()
        with self._lock:
            if self._shut is hold:
                self._shut = None
        self._bell.ring()


class _Exclusive:
    __slots__ = ("_gate", "_hold")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        gate = self._gate
        hold = self._hold = Hold(sys._getframe(1))
        try:
            gate._bell.wait_until(lambda: gate._shut_by(hold))
            gate._bell.wait_until(gate._empty)
        except BaseException:
            gate._let_in(hold)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate._let_in(self._hold)
