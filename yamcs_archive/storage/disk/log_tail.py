"""The log as a process reads it that does not write it: up to the acknowledged end, into a memory table of
its own.

1. A view is made for the checkpoint that a read transaction sees. If the log does not begin there any more,
   there is no view: the reader begins a new transaction, which sees a later checkpoint.
2. What was read before is kept while the checkpoint is the same; only new records are read.
3. The acknowledged end holds while somebody writes. Else it may be an older one, after a power cut: then all
   valid records are shown, as a writer will find them.
4. Of a damaged log, a reader that asks for it gets every record that is valid by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.disk.log_chain import LogGoneError, reaches_beyond, read_log
from yamcs_archive.storage.disk.log_files import read_end, read_segment
from yamcs_archive.storage.disk.log_readable import LogDamage, readable_log
from yamcs_archive.storage.disk.writer_lock import has_other_writer
from yamcs_archive.storage.format.log_records import decode_payload
from yamcs_archive.storage.format.log_segments import NOWHERE, LogEnd, Place, records_from
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Checkpoint
from yamcs_archive.storage.young.views import CarriedGoneError, LeftOut, MemoryTables, YoungView, view_of_some


class _State(NamedTuple):
    """What a view of a damaged log was made for."""

    folder: Path
    checkpoint: Checkpoint
    end: LogEnd | None
    beside_writer: bool


class LogTail:
    """Reads the log of the generation in use. For many threads."""

    def __init__(self, folder: Callable[[], Path], archive: Callable[[], bytes | None]) -> None:
        """``folder`` returns the folder of the generation in use, ``archive`` what its segments must name."""
        self._folder_of, self._archive_of = folder, archive
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._end: LogEnd | None = None
        self._place: Place = NOWHERE
        self._checkpoint = NO_CHECKPOINT
        self._tables = MemoryTables(NO_CHECKPOINT)
        self._gone: Checkpoint | None = None  # the checkpoint after which records were missing
        self._readable: tuple[_State, YoungView, list[LogDamage]] | None = None

    def view(self, checkpoint: Checkpoint, left_out: LeftOut | None = None) -> YoungView | None:
        """Return what follows a checkpoint; where the log is damaged, what can be read of it.

        ``left_out`` is called for each damage then; without it DamagedError is raised. Raises
        UnavailableError.
        """
        try:
            return self._view(checkpoint)
        except DamagedError as error:
            if left_out is None:
                raise
            view, damage = self._readable_view(checkpoint)
            for each in damage or [error]:
                left_out(each)
            return view

    def _readable_view(self, checkpoint: Checkpoint) -> tuple[YoungView, list[DamagedError]]:
        folder = self._folder_of()
        with self._lock, os_errors_translated(folder):
            end, beside_writer = read_end(folder), has_other_writer(folder.parent.parent)
            state = _State(folder, checkpoint, end, beside_writer)
            if self._readable is None or self._readable[0] != state:
                found = readable_log(folder, checkpoint, self._archive_of(), acknowledged=beside_writer)
                self._readable = state, view_of_some(found.records, found.carrying), found.damage
            _, view, damage = self._readable
        return view, [each.error for each in damage]

    def _view(self, checkpoint: Checkpoint) -> YoungView | None:
        folder = self._folder_of()
        with self._lock:
            try:
                with os_errors_translated(folder):
                    self._read(folder, checkpoint)
            except (LogGoneError, CarriedGoneError):
                self._folder = None
                if self._gone == checkpoint:  # not removed after a checkpoint: LMDB would have a later one
                    raise
                self._gone = checkpoint
                return None
            self._gone = None
            return self._tables.view(checkpoint)

    def _read(self, folder: Path, checkpoint: Checkpoint) -> None:
        end = read_end(folder)
        if end is not None and reaches_beyond(folder, end) and not has_other_writer(folder.parent.parent):
            end = None
        if folder == self._folder and checkpoint.last == self._checkpoint.last and end is not None:
            if end != self._end and self._continues(folder, end):
                self._end = end
            if end == self._end and self._tables.carry_up_to(checkpoint.carried):
                self._checkpoint = checkpoint
                return
        self._folder = None  # until this has ended
        found = read_log(folder, checkpoint.last, self._archive_of(), acknowledged=end is not None)
        records = (decode_payload(record.sequence, record.payload) for record in found.records)
        self._tables = MemoryTables(checkpoint, records)
        self._checkpoint, self._place, self._end = checkpoint, found.place, end
        if end is None or end.sequence == found.sequence:
            self._folder = folder

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
        return self._place.offset == end.offset
