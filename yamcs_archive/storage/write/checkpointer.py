"""Checkpoints as the writer makes them: what is young goes into LMDB, and the log's segments are removed.

1. One transaction puts the tables and moves the checkpoint; :mod:`~yamcs_archive.storage.write.checkpoint`
   says what that transaction has. Before it the log gets a record of the late events that are left out, after
   it the tables are dropped, and then their segments.
2. Without room the transaction is not committed, and all is as it was. After any other failure it may be:
   the facts are read back.
3. Memory is bounded: while full tables cannot be put into LMDB, nothing is appended.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from time import monotonic

import lmdb

from yamcs_archive.errors import ArchiveError, OutOfSpaceError
from yamcs_archive.storage.disk.environment import LazyRead
from yamcs_archive.storage.disk.file_system import in_our_words
from yamcs_archive.storage.disk.lmdb_open import archive_error, no_memory
from yamcs_archive.storage.disk.log_files import remove_segments
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.log_records import LogRecord
from yamcs_archive.storage.format.meta import Checkpoint
from yamcs_archive.storage.write.checkpoint import KnownBlocks, TableImage, made_from, put
from yamcs_archive.storage.write.commit_log import LogWriteError
from yamcs_archive.storage.write.commit_messages import HandOver
from yamcs_archive.storage.write.submissions import copied
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.writer_state import WriterState
from yamcs_archive.storage.young.memory_table import MemoryTable

_TRY_AGAIN_S = 1.0
"""After full tables could not be put into LMDB, for how long appends are refused without another try."""


class Checkpointer:
    """Puts memory tables into LMDB, for the thread that commits."""

    def __init__(self, state: WriterState) -> None:
        self._state = state
        self._options = state.options
        self._no_room: tuple[float, ArchiveError] | None = None  # when the tables could not be put, and why

    @property
    def is_full(self) -> bool:
        """True if tables must be put into LMDB before the next commit."""
        return self._state.tables.are_full(self._options.table_events_max)

    def freeze(self) -> MemoryTable | None:
        """Let the growing table be put into LMDB; return the table to put, or None if nothing is young."""
        self._state.refresh()
        return self.frozen()

    def frozen(self) -> MemoryTable | None:
        """Do the same, where the facts are known to hold."""
        tables = self._state.tables
        if tables.frozen is None:
            self._freeze()
        return tables.frozen

    def _freeze(self) -> None:
        tables = self._state.tables
        growing = tables.growing
        if growing.last > growing.after:
            earlier = {number for table in tables.before_growing for number in table.segments}
            growing.segments = [number for number in self._state.log.roll() if number not in earlier]
            tables.freeze()

    def put_table(self, table: MemoryTable, image: TableImage) -> bool:
        """Put the frozen table, and the events that were carried, into LMDB.

        False if it must be planned anew, or is there already.
        """
        self._state.refresh()
        if self._state.tables.frozen is not table:
            return False
        return self._put_image(image)

    def checkpoint_all(self, left_max: int = 0) -> None:
        """Put all young events into LMDB, now, but for ``left_max`` late ones, and those that damage keeps
        out.
        """
        state = self._state
        state.refresh()
        if not state.tables.any:
            return
        self._freeze()
        last = state.tables.growing.after
        with LazyRead(state.environment) as read:
            blocks = state.stored(read).blocks
            tables = state.tables.before_growing
            known = KnownBlocks(blocks.index, blocks.value)
            image = made_from(tables, last, known, self._options, left_max=left_max)
        if not self._put_image(image):
            raise AssertionError("blocks have changed while the writer had its turn")

    def run_with_everything(self, run: Callable[[WriteTransaction], bool | None]) -> bool:
        """Run something in a transaction after all that is young was put into LMDB; see
        :meth:`.WriterState.run_in_transaction`.
        """
        self.checkpoint_all()
        return self._state.run_in_transaction(run)

    def _put_image(self, image: TableImage) -> bool:
        """Store what tables have; then remove the segments that they were in."""
        state = self._state
        try:
            carried = self._carry(image)
            newest = image.commits[-1].last if image.commits else state.checkpoint.commit
            checkpoint = Checkpoint(image.last, 0 if carried is None else carried.last, newest)
            state.tables.about_to_store(checkpoint, carried)
            if not state.run_in_transaction(lambda stored: put(image, checkpoint, stored)):
                return False
            state.checkpoint = checkpoint
        except OutOfSpaceError:  # the transaction was not committed: all is as it was
            raise
        except BaseException as error:
            state.invalidate()  # it may be stored
            if isinstance(error, LogWriteError):  # nothing of a caller's was in that record
                raise in_our_words(error.reason, state.environment.path) from error
            raise
        self._drop(image.last, carried)
        state.damage.meet_all(image.damaged)
        return True

    def _carry(self, image: TableImage) -> MemoryTable | None:
        """Have the log carry what is left of tables."""
        if image.left is None:
            return None
        state = self._state
        record = LogRecord(state.log.sequence + 1, (), carried=image.left.events)
        state.log.append(image.left.payload)
        state.tables.growing.add(record)
        failpoint("checkpoint-carried")
        return MemoryTable.of_carried(record.sequence, image.left.events, image.left.memory_bytes)

    def _drop(self, last: int, carried: MemoryTable | None) -> None:
        """Drop what LMDB has, up to a record."""
        state = self._state
        segments = [number for table in state.tables.stored(last, carried) for number in table.segments]
        state.log.forget(segments)
        failpoint("checkpoint-stored")
        with suppress(OSError):  # the next opening removes them
            remove_segments(state.environment.path, segments)

    def make_room(self, *, alone: bool = False) -> None:
        """Put tables into LMDB, if both are full: whoever should have done it was too slow, or is not
        there. While that fails, nothing is appended: memory is bounded.

        With ``alone`` it raises HandOver instead.
        """
        if not self.is_full:
            return
        if alone:
            raise HandOver
        if self._no_room is not None and monotonic() < self._no_room[0] + _TRY_AGAIN_S:
            raise copied(self._no_room[1])
        try:
            self.checkpoint_all(self._options.late_events_max)
        except (lmdb.Error, MemoryError, ArchiveError) as error:
            path = self._state.environment.path
            if isinstance(error, ArchiveError):
                reason = error
            else:
                reason = archive_error(error, path) if isinstance(error, lmdb.Error) else no_memory(path)
            self._no_room = monotonic(), copy(reason)  # without its frames, which hold the image
            if reason is error:  # an error is never its own cause
                raise
            raise reason from error
