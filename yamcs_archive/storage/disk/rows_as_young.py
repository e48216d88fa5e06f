"""The rows of version 1 as young events, for a process that may not put them into blocks.

Rows were events in LMDB, one by one: young ones and late ones. Their commits and source states are in LMDB
too, as those of carried events are. Nobody writes rows any more, so they are read once for each state of LMDB
that has some.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import NamedTuple

import lmdb

from yamcs_archive.errors import ArchiveError, DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.format.block_part_decoder import locate
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.log_records import Carried
from yamcs_archive.storage.format.rows import decode_rows
from yamcs_archive.storage.young.memory_table import MemoryTable
from yamcs_archive.storage.young.views import NOTHING_YOUNG, LeftOut, YoungView


class _Found(NamedTuple):
    """What a state of LMDB has."""

    transaction: int
    view: YoungView
    damaged: list[DamagedError]


class RowsAsYoung:
    """Reads the rows of an instance. For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = _Found(0, NOTHING_YOUNG, [])

    def view(
        self, transaction: lmdb.Transaction[bytes], rows: lmdb._Database, left_out: LeftOut | None = None
    ) -> YoungView:
        """Return the rows that a transaction sees.

        ``left_out`` is called for each row that is damaged; without it, the first one is an error.
        """
        if not transaction.stat(rows)["entries"]:
            return NOTHING_YOUNG
        with self._lock:
            found = self._known
            if found.transaction != transaction.id():
                found = self._known = _Found(transaction.id(), *_read(list(transaction.cursor(rows))))
        for error in found.damaged:
            if left_out is None:
                raise error.with_traceback(None)
            left_out(error)
        return found.view


def _read(pairs: list[Pair]) -> tuple[YoungView, list[DamagedError]]:
    try:
        events, damaged = decode_rows(pairs), list[DamagedError]()
    except DamagedError:
        events, damaged = _read_one_by_one(pairs)
    if not events.size:
        return NOTHING_YOUNG, damaged
    table = MemoryTable.of_carried(0, Carried(events, events.commits.tolist()))
    return YoungView(((table, table.extent),)), damaged


def _read_one_by_one(pairs: list[Pair]) -> tuple[StoredVectors, list[DamagedError]]:
    found, damaged = [], []
    for pair in pairs:
        try:
            found.append(decode_rows([pair]))
        except DamagedError as error:
            with suppress(ArchiveError):
                locate(error, pair[0], pair[0], 1)
            damaged.append(error)
    return StoredVectors.concat(found), damaged
