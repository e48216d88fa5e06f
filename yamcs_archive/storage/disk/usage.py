"""What an open environment uses: its map, its file, its trees, and the readers in LMDB's table.

1. Everything comes from one read transaction, LMDB's own counts and a ``stat`` of each file: LMDB's two, and
   the few of the commit log. So it takes the same time whatever the archive holds. Nothing is written.
2. A reader keeps pages from being reused from the first transaction on that it does not see. LMDB's table
   has no times, so each look notes when it first saw a reader behind: the age is exact to the interval
   between two looks, and never too great.
3. A reader whose process was killed stays in the table. If the oldest reader has been behind for a while,
   the table is checked for such readers, which LMDB does by the locks of their processes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from yamcs_archive.storage.disk.environment import Environment

CHECK_AFTER_S = 5.0
"""Seconds after which a reader that is behind may be one whose process was killed."""
_NO_TRANSACTION = "-"


class ReaderWatch:
    """When readers were first seen behind. Safe to use from many threads.

    >>> watch = ReaderWatch()
    >>> watch.oldest_s([7, 9], newest=9, now_s=100.0), watch.oldest_s([7, 10], newest=10, now_s=103.0)
    (0.0, 3.0)
    >>> watch.oldest_s([10], newest=10, now_s=104.0)
    0.0
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since_s: dict[int, float] = {}
        self.cleared = 0
        """Readers that were removed because their process had ended."""

    def oldest_s(self, transactions: Iterable[int], newest: int, now_s: float) -> float:
        """Return for how long the oldest of these transactions has been behind the newest one."""
        with self._lock:
            known = self._since_s
            self._since_s = {one: known.get(one, now_s) for one in transactions if one < newest}
            return now_s - min(self._since_s.values(), default=now_s)

    def note_cleared(self, count: int) -> None:
        """Count readers that were removed."""
        with self._lock:
            self.cleared += count


class Usage(NamedTuple):
    """What an environment uses. Sizes are bytes."""

    young: int
    blocks: int
    map_bytes: int
    used_bytes: int
    file_bytes: int
    readers: int
    oldest_reader_s: float


def usage(environment: Environment, watch: ReaderWatch, now_s: float) -> Usage:
    """Return what an environment uses at this moment; ``now_s`` is a monotonic time.

    Raises GoneError if its file is gone, ClosedError, UnavailableError.
    """
    with environment.snapshot() as (transaction, young):
        databases = environment.databases
        blocks = transaction.stat(databases["blocks"])
        oldest_s = _look(environment, watch, now_s)
        info = environment.lmdb.info()
        readers = len(_table(environment))
    return Usage(
        young.events,
        blocks["entries"],
        info["map_size"],
        (info["last_pgno"] + 1) * blocks["psize"],
        environment.allocated_bytes(),
        readers,
        oldest_s,
    )


def look_at_readers(environment: Environment, watch: ReaderWatch, now_s: float) -> None:
    """Note which readers are behind, and remove those whose process was killed."""
    with environment.read():
        _look(environment, watch, now_s)


def _look(environment: Environment, watch: ReaderWatch, now_s: float) -> float:
    """Within a read transaction, so that the environment stays open."""
    oldest_s = watch.oldest_s(_transactions(environment), environment.lmdb.info()["last_txnid"], now_s)
    if oldest_s < CHECK_AFTER_S or not (cleared := environment.lmdb.reader_check()):
        return oldest_s
    watch.note_cleared(cleared)
    return watch.oldest_s(_transactions(environment), environment.lmdb.info()["last_txnid"], now_s)


def _table(environment: Environment) -> list[str]:
    """Return the lines of LMDB's table of readers: process, thread, transaction."""
    return environment.lmdb.readers().splitlines()[1:]


def _transactions(environment: Environment) -> list[int]:
    """Return the transactions that are being read."""
    found = [line.rsplit(None, 1)[-1] for line in _table(environment)]
    return [int(transaction) for transaction in found if transaction != _NO_TRANSACTION]
