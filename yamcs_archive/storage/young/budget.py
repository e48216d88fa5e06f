"""The memory of all memory tables of a process: beyond a bound the largest one is put into blocks first.

1. A process may have thousands of instances, each with a table that is far from full. Their sum is bounded,
   whatever their number: whoever looks after an instance asks once a second whether its table is the one to
   go.
2. The sizes are added up at most once a second, however many ask.
"""

from __future__ import annotations

import os
import threading
import time
import weakref

from yamcs_archive.limits import TABLES_BYTES_MAX
from yamcs_archive.storage.young.views import MemoryTables

_LOOK_S = 1.0


class Budget:
    """The tables that share the bound. For many threads."""

    def __init__(self, bytes_max: int = TABLES_BYTES_MAX, look_s: float = _LOOK_S) -> None:
        self._bytes_max, self._look_s = bytes_max, look_s
        self._lock = threading.Lock()
        self._tables: weakref.WeakSet[MemoryTables] = weakref.WeakSet()
        self._looked_s = 0.0
        self._due: set[int] = set()

    def enter(self, tables: MemoryTables) -> None:
        """Count the tables of an instance, as long as they are in use."""
        with self._lock:
            self._tables.add(tables)

    def is_due(self, tables: MemoryTables) -> bool:
        """Return whether the table that grows is to be put into blocks, because all of them are too large."""
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._looked_s >= self._look_s:
                self._looked_s = now_s
                self._due = self._largest()
            return id(tables) in self._due

    def _largest(self) -> set[int]:
        sizes = sorted(((each.growing.size_bytes, id(each)) for each in self._tables), reverse=True)
        over = sum(size for size, _ in sizes) - self._bytes_max
        due: set[int] = set()
        for size, which in sizes:
            if over <= 0:
                break
            due.add(which)
            over -= size
        return due


BUDGET = Budget()
"""That of this process."""


def _new_lock_in_child() -> None:
    BUDGET._lock = threading.Lock()  # the parent's may have been held at the moment of the fork


os.register_at_fork(after_in_child=_new_lock_in_child)
