"""The log as a process reads it that does not write it: up to the acknowledged end, into a memory table of
its own.

1. A view is made for the checkpoint that a read transaction sees. If the log does not begin there any more,
   or does not reach the acknowledged end, there is no view: the reader begins a new transaction, which sees a
   later checkpoint.
2. What was read before is kept while the checkpoint is the same; only new records are read.
3. The acknowledged end holds until the machine starts anew. One from before may be older than what was
   acknowledged: then all valid records are shown, as a writer will find them.
4. Of a damaged log, a reader that asks for it gets every record that is valid by itself.
5. A table whose extension did not end, by an interrupt or an error, is never used again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.disk.log_chain import LogGoneError, read_log
from yamcs_archive.storage.disk.log_files import holds, read_end, read_segment, stamp_of_segments
from yamcs_archive.storage.disk.log_readable import LogDamage, readable_log
from yamcs_archive.storage.format.log_records import decode_payload
from yamcs_archive.storage.format.log_segments import NOWHERE, LogEnd, Place, records_from
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Checkpoint
from yamcs_archive.storage.young.views import (
    CarriedGoneError,
    CommitsGoneError,
    LeftOut,
    MemoryTables,
    YoungView,
    view_of_some,
)


class _State(NamedTuple):
    """What a view of a damaged log was made for."""

    folder: Path
    checkpoint: Checkpoint
    end: LogEnd | None
    segments: object


_ReadInPart = tuple[_State, YoungView, list[LogDamage]]


class LogTail:
    """Reads the log of the generation in use. For many threads."""

    def __init__(self, folder: Callable[[], Path], archive: Callable[[], bytes | None]) -> None:
        """``folder`` returns the folder of the generation in use, ``archive`` what its segments must name."""
        self._folder_of, self._archive_of = folder, archive
        self._lock = threading.Lock()
        self._known: object = None  # what the tables were read from; None: they must not be used
        self._end: LogEnd | None = None
        self._place: Place = NOWHERE
        self._tables = MemoryTables(NO_CHECKPOINT)
        self._readable: _ReadInPart | None = None

    def view(
        self, checkpoint: Checkpoint, left_out: LeftOut | None = None, *, again: bool = True
    ) -> YoungView | None:
        """Return what follows a checkpoint; where the log is damaged, what can be read of it.

        ``left_out`` is called for each damage then; without it DamagedError is raised. Raises
        UnavailableError.
        """
        if left_out is None:
            return self._view(checkpoint, again=again)
        known = self._readable
        if known is None or known[0] != self._state(checkpoint):
            try:
                return self._view(checkpoint, again=again)
            except DamagedError as error:
                known = self._read_in_part(checkpoint, error)
        _, view, damage = known
        for each in damage:
            left_out(each.error)
        return view

    def _state(self, checkpoint: Checkpoint) -> _State:
        folder = self._folder_of()
        with os_errors_translated(folder):
            return _State(folder, checkpoint, read_end(folder), stamp_of_segments(folder))

    def _read_in_part(self, checkpoint: Checkpoint, error: DamagedError) -> _ReadInPart:
        state = self._state(checkpoint)
        found = readable_log(state.folder, checkpoint, self._archive_of(), acknowledged=True)
        damage = found.damage or [LogDamage(error.where, error.reason)]
        known = self._readable = state, view_of_some(found.records, found.carrying), damage
        return known

    def _view(self, checkpoint: Checkpoint, *, again: bool) -> YoungView | None:
        folder = self._folder_of()
        with self._lock:
            try:
                with os_errors_translated(folder):
                    self._read(folder, checkpoint)
            except (LogGoneError, CarriedGoneError, CommitsGoneError):
                if not again:  # not removed after a checkpoint: LMDB would have a later one
                    raise
                return None
            return self._tables.view(checkpoint)

    def _read(self, folder: Path, checkpoint: Checkpoint) -> None:
        end = read_end(folder)
        # An end that holds changes with each record. Else nobody has written since the machine started.
        seen = folder, checkpoint.last, None if holds(end) else (end, stamp_of_segments(folder))
        known, self._known = self._known, None  # until this has ended
        if (
            seen == known
            and (end == self._end or (end is not None and self._continues(folder, end)))
            and self._tables.carry_up_to(checkpoint.carried)
        ):
            self._known = seen
            return
        found = read_log(folder, checkpoint.last, self._archive_of(), acknowledged=True)
        records = (decode_payload(record.sequence, record.payload) for record in found.records)
        self._tables = MemoryTables(checkpoint, records)
        self._place, self._end = found.place, found.end
        if holds(found.end) == holds(end):
            self._known = seen

    def _continues(self, folder: Path, end: LogEnd) -> bool:
        """Read the new records of the same segment; False if the end is in another one, or does not fit."""
        place = self._place
        if (end.number, end.epoch) != place[:2] or end.offset <= place.offset:
            return False
        try:
            data = read_segment(folder, place.number, place.offset, end.offset - place.offset)
        except FileNotFoundError:
            return False
        first = self._tables.growing.last + 1
        for record in records_from(data, place._replace(offset=0), first, len(data)):
            self._tables.add(decode_payload(record.sequence, record.payload))
            self._place = record.after._replace(offset=place.offset + record.after.offset)
        self._end = end
        return self._place.offset == end.offset
