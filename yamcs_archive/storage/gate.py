"""The gate of an environment: many read at once, or one holds them all off for a moment.

1. A reader is entered, then looks whether the gate is shut; who shuts it does so, then looks who is entered.
   So one of the two always sees the other, and reading takes no lock.
2. A reader and a shut gate belong to the frame of their ``with`` statement: see :mod:`interrupts`. What
   Ctrl-C left entered is passed over, and its transaction is ended.
3. Who shuts the gate is in no read.
"""

from __future__ import annotations

import sys
import threading
from types import FrameType, TracebackType

import lmdb

from yamcs_archive.storage.interrupts import Bell, Hold, ended

_READERS_LOOKED_AT = 64
"""Number of readers from which on those that Ctrl-C left are removed: they keep what they read in memory."""


class Reader:
    """One reading: entered at a gate, with the transaction that it holds by now, if any."""

    __slots__ = ("_frame", "transaction")

    def __init__(self, frame: FrameType) -> None:
        self._frame = frame
        self.transaction: lmdb.Transaction[bytes] | None = None

    def abandoned(self) -> bool:
        """Say whether its frame has ended; then its transaction is ended, too."""
        if not ended(self._frame):
            return False
        if self.transaction is not None:
            self.transaction.abort()
        return True


class Gate:
    """Knows who reads, and lets one thread hold all readers off."""

    def __init__(self) -> None:
        self._readers: set[Reader] = set()
        self._shut: Hold | None = None
        self._lock = threading.Lock()
        self._bell = Bell()

    def enter(self, reader: Reader) -> None:
        """Enter a reader, once nobody holds readers off. :meth:`leave` it afterwards."""
        while True:
            self._readers.add(reader)
            if self._open():
                break
            self.leave(reader)
            self._bell.wait_until(self._open)
        if len(self._readers) >= _READERS_LOOKED_AT:
            self._empty()

    def leave(self, reader: Reader) -> None:
        """Have a reader read no longer; idempotent."""
        self._readers.discard(reader)
        if self._shut is not None:
            self._bell.ring()

    def exclusive(self) -> _Exclusive:
        """For a ``with`` statement: hold off new readers, wait for those inside, let in again at its end."""
        return _Exclusive(self)

    def _open(self) -> bool:
        shut = self._shut
        return shut is None or not shut.held

    def _empty(self) -> bool:
        """Say whether nobody reads; who was left entered is forgotten."""
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
