"""The rows of version 1 as young events, for a process that may not put them into blocks.

Rows were events in LMDB, one by one: young ones and late ones. Their commits and source states are in LMDB
too, as those of carried events are. Nobody writes rows any more, so they are read once for each state of LMDB
that has some.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import lmdb

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.log_records import Carried
from yamcs_archive.storage.format.rows import decode_rows
from yamcs_archive.storage.young.memory_table import MemoryTable
from yamcs_archive.storage.young.views import NOTHING_YOUNG, YoungView


class RowsAsYoung:
    """Reads the rows of an instance. For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[int, YoungView] = 0, NOTHING_YOUNG

    def view(self, transaction: lmdb.Transaction[bytes], rows: lmdb._Database) -> YoungView:
        """Return the rows that a transaction sees; damaged ones are left out."""
        if not transaction.stat(rows)["entries"]:
            return NOTHING_YOUNG
        with self._lock:
            number, view = self._known
            if number != transaction.id():
                view = _view_of(list(transaction.cursor(rows)))
                self._known = transaction.id(), view
            return view


def _view_of(pairs: list[Pair]) -> YoungView:
    events = _decoded(pairs)
    if not events.size:
        return NOTHING_YOUNG
    table = MemoryTable.of_carried(0, Carried(events, events.commits.tolist()))
    return YoungView(((table, table.extent),))


def _decoded(pairs: list[Pair]) -> StoredVectors:
    try:
        return decode_rows(pairs)
    except DamagedError:
        found = []
        for pair in pairs:
            with suppress(DamagedError):
                found.append(decode_rows([pair]))
        return StoredVectors.concat(found)
