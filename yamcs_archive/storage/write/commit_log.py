"""The commit log as the writer has it: recovery, appending, segments that come and go.

1. A record is acknowledged after its sync, never before. One record at a time is under way.
2. After a failure, or an interrupt, nothing is appended before :meth:`CommitLog.recover` has succeeded: it
   writes a record that is in doubt anew, into a segment whose header leaves the old one out. The segment in
   which the failure was is never written again; nor is any of an earlier opening.
3. Space is taken before a record is written. Where there is none, OutOfSpaceError is raised, nothing was
   written, and the next append may succeed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from yamcs_archive.errors import OutOfSpaceError, UnavailableError
from yamcs_archive.storage.disk.boot import this_boot
from yamcs_archive.storage.disk.file_system import in_our_words, os_errors_translated
from yamcs_archive.storage.disk.log_chain import read_log
from yamcs_archive.storage.disk.log_files import (
    EndFile,
    SegmentFile,
    read_end,
    remove_segments,
)
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.log_records import LogRecord, decode_payload, encode_payload
from yamcs_archive.storage.format.log_segments import (
    ARCHIVE_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    NOWHERE,
    Framed,
    LogEnd,
    Place,
    SegmentHeader,
    frame,
)

SEGMENT_BYTES_MAX = 4 << 20
"""Bytes after which a record goes into a new segment."""
_ALIGNED = 8


class LogWriteError(UnavailableError):
    """A record was written in part, or not synced: recover the log to find out."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason.strerror or str(reason))
        self.reason = reason


class CommitLog:
    """The log of one generation, while this process writes it. For the thread that commits."""

    def __init__(self, folder: Path, archive: bytes = bytes(ARCHIVE_BYTES)) -> None:
        """Use the log in a generation's folder; call :meth:`recover` first.

        ``archive``: the first bytes of the archive's lineage, which its segments name.
        """
        self._folder, self._archive = folder, archive
        self._file: SegmentFile | None = None
        self._end: EndFile | None = None
        self._published = False  # True once other processes can know what is acknowledged
        self._place = NOWHERE
        self._numbers: list[int] = []  # of the segments that have records after the checkpoint
        self._newest = 0  # the greatest number that a segment had
        self.sequence = 0
        """The number of the newest record."""

    def recover(self, checkpoint: int, *, drop_doubtful: bool = False) -> Iterator[LogRecord]:
        """Return the records after a checkpoint, all of them durable; a new segment begins with the next one.

        ``drop_doubtful``: readers were shown what there was without the record that is in doubt, so it must
        not appear any more; an empty one takes its place. Raises DamagedError, OutOfSpaceError,
        UnavailableError.
        """
        self.close()
        try:
            with os_errors_translated(self._folder):
                return self._recovered(checkpoint, drop_doubtful=drop_doubtful)
        except BaseException:
            self.close()
            raise

    def _recovered(self, checkpoint: int, *, drop_doubtful: bool) -> Iterator[LogRecord]:
        found = read_log(self._folder, checkpoint, self._archive)
        doubtful = found.doubtful
        if doubtful is not None and drop_doubtful:
            nothing = memoryview(encode_payload(LogRecord(doubtful.sequence, ())))
            doubtful = doubtful._replace(payload=nothing)
            found.records[-1] = doubtful
        end = read_end(self._folder)
        self._newest = max([0 if end is None else end.number, self._newest, *found.present])
        self._place, self._numbers = found.link, list(found.kept)
        self.sequence = found.sequence
        if doubtful is not None:
            try:
                self._carry(doubtful)
            except OSError as error:
                raise _not_carried(error, self._folder) from error
        # Where there is no end, readers need none before something is appended: a full medium may be opened.
        with suppress(*((OSError,) if end is None else ())):
            self._publish()
        with suppress(OSError):  # they are no part of the log
            remove_segments(self._folder, [n for n in found.present if n not in self._numbers])
        return (decode_payload(record.sequence, record.payload) for record in found.records)

    def _carry(self, doubtful: Framed) -> None:
        """Write a doubtful record anew."""
        self.sequence = doubtful.sequence - 1
        payload = bytes(doubtful.payload)
        file, header = self._next_segment(len(payload))
        failpoint("log-carried")
        self._write(file, header, payload)
        self.cut()

    def append(self, payload: bytes) -> int:
        """Write a record, durably; return its number.

        Raises OutOfSpaceError, or another UnavailableError, if nothing was written, and LogWriteError if that
        is not known.
        """
        size = FRAME_BYTES + len(payload)
        header: SegmentHeader | None = None
        stop = self._place.offset + size + -size % _ALIGNED
        file = self._file
        if file is None or stop > min(file.ready_bytes, SEGMENT_BYTES_MAX):
            with os_errors_translated(self._folder):
                if not self._published:
                    self._publish()
                if file is None or self._place.offset + size > SEGMENT_BYTES_MAX:
                    file, header = self._next_segment(len(payload))
                else:
                    file.reserve(stop)
        try:
            self._write(file, header, payload)
        except OSError as error:
            raise LogWriteError(error) from error
        return self.sequence

    def _next_segment(self, payload_bytes: int) -> tuple[SegmentFile, SegmentHeader]:
        """Make a segment with room for a record; nothing of this log changes before the record is written."""
        number = self._newest + 1
        self._newest = number
        file = SegmentFile(self._folder, number)
        try:
            failpoint("log-segment-made")
            file.reserve(HEADER_BYTES + FRAME_BYTES + payload_bytes + _ALIGNED)
        except BaseException:
            file.close()
            with suppress(OSError):
                os.unlink(file.path)
            raise
        epoch = secrets.randbits(32) or 1
        return file, SegmentHeader(epoch, number, self.sequence + 1, self._place, self._archive)

    def _write(self, file: SegmentFile, header: SegmentHeader | None, payload: bytes) -> None:
        if header is None:
            place = self._place
            data, after = frame(payload, self.sequence + 1, place)
            file.write(data, place.offset)
        else:
            data, after = frame(payload, self.sequence + 1, header.begin)
            old, self._file = self._file, file
            if old is not None:
                old.close()
            file.write(header.encode() + data, 0)
            self._numbers.append(header.number)
        failpoint("log-synced")
        self._place = after
        self.sequence += 1
        self._publish()

    def _publish(self) -> None:
        if self._end is None:
            self._end = EndFile(self._folder)
        place = self._place
        self._end.write(LogEnd(place.number, place.epoch, place.offset, self.sequence, this_boot()))
        self._published = True

    def roll(self) -> list[int]:
        """Let the next record begin a new segment; return the numbers of those before it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        return list(self._numbers)

    def forget(self, numbers: list[int]) -> None:
        """Take note that segments are removed, because LMDB has all that they have."""
        self._numbers = [number for number in self._numbers if number not in numbers]

    @property
    def place(self) -> Place:
        """The place behind the newest record."""
        return self._place

    def cut(self) -> None:
        """Give the unused space of the last segment back; the next record begins a new one."""
        if self._file is not None:
            with suppress(OSError):
                self._file.cut(self._place.offset)
        self.roll()

    def close(self) -> None:
        """Close the files; idempotent."""
        self.roll()
        if self._end is not None:
            self._end.close()
            self._end = None
        self._published = False


def _not_carried(error: OSError, folder: Path) -> UnavailableError:
    """Return the error for a doubtful record that could not be written anew; of a full medium it says why
    nothing can be stored and what can be done meanwhile.
    """
    found = in_our_words(error, folder)
    if not isinstance(found, OutOfSpaceError):
        return found
    why = "the newest record may not be on the medium, and must be written anew before anything is stored"
    can = "readonly=True, and commands that only read, can read the archive meanwhile"
    return OutOfSpaceError(found.path, f"{found.reason}; {why}; {can}")
