"""The files of a commit log: segments that are full of zeros before they are written, and the acknowledged
end.

1. Records are written over zeros that are on the medium already, so a sync has data to write and nothing
   else: 10 KB took 191 us so, 426 in a file that grows. Zeros are written in steps of 256 KiB, because 4 MiB
   at once would hold up a commit for 10 ms. Large records get their space allocated instead, for the same
   reason.
2. Space is taken before a byte of a record is written. If there is none, nothing was written.
3. A file's name is durable before a record in it is acknowledged.
4. Errors are OSErrors: the caller knows whether anything was written (:mod:`~yamcs_archive.storage.write`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from yamcs_archive.storage.disk.boot import this_boot
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.log_segments import END_BYTES, LogEnd, decode_end

SEGMENT_STEP_BYTES = 256 << 10
"""Bytes by which a segment is filled with zeros at a time: a few milliseconds of writing."""
_ALLOCATED_MIN_BYTES = 64 << 10
"""Bytes of a record from which on its space is allocated, not filled with zeros: its own bytes take
longer.
"""
_ALLOCATED_STEP_BYTES = 1 << 20
"""Bytes by which it is allocated: for each record of 94 KB by itself, a commit took 1.08 times as long."""
_PREFIX, _END_NAME = "log-", "log.end"
_MODE = 0o666
"""Before the umask, as LMDB's files have it."""
_ZEROS = memoryview(bytes(SEGMENT_STEP_BYTES))
_TRIES = 50
"""Reads of the acknowledged end: one may meet a write of it, and the next one another write."""


class SegmentFile:
    """One segment, open for writing. Use it from one thread at a time."""

    def __init__(self, folder: Path, number: int) -> None:
        """Make the file of that number, which must not exist; nothing is durable yet."""
        self.path = os.path.join(folder, f"{_PREFIX}{number}")
        self._folder = folder
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        self.ready_bytes = 0
        """The space that it has."""
        self._named = False

    def reserve(self, stop: int) -> None:
        """Have space for the bytes before ``stop``; raises OSError, and then nothing was written."""
        more = stop - self.ready_bytes
        if more <= 0:
            return
        if more >= _ALLOCATED_MIN_BYTES:
            ahead = more + -more % _ALLOCATED_STEP_BYTES
            try:
                os.posix_fallocate(self._descriptor, self.ready_bytes, ahead)
            except OSError:  # there may be room for the record alone
                ahead = more
                os.posix_fallocate(self._descriptor, self.ready_bytes, ahead)
            self.ready_bytes += ahead
        else:
            _write(self._descriptor, _ZEROS, self.ready_bytes)
            os.fdatasync(self._descriptor)
            self.ready_bytes += SEGMENT_STEP_BYTES
        if not self._named:
            sync_folder(self._folder)
            self._named = True

    def write(self, data: bytes, offset: int) -> None:
        """Write data into reserved space, and sync it. After an OSError nobody knows what is on the
        medium.
        """
        _write(self._descriptor, data, offset)
        failpoint("log-written")
        os.fdatasync(self._descriptor)

    def cut(self, stop: int) -> None:
        """Give the space after ``stop`` back."""
        os.ftruncate(self._descriptor, stop)
        self.ready_bytes = min(self.ready_bytes, stop)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class EndFile:
    """The acknowledged end, written for other processes: a hint that is true whenever it is valid."""

    def __init__(self, folder: Path) -> None:
        path = os.path.join(folder, _END_NAME)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)

    def write(self, end: LogEnd) -> None:
        """Publish an end, after the sync of the record before it."""
        os.pwrite(self._descriptor, end.encode(), 0)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def read_end(folder: Path) -> LogEnd | None:
    """Return the acknowledged end, if a valid one is there."""
    try:
        descriptor = os.open(os.path.join(folder, _END_NAME), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        for _ in range(_TRIES):
            if (found := decode_end(os.pread(descriptor, END_BYTES, 0))) is not None:
                return found
        return None
    finally:
        os.close(descriptor)


def holds(end: LogEnd | None) -> bool:
    """Return whether nothing beyond an end was acknowledged: it was written since the machine started."""
    return end is not None and end.boot == this_boot() != 0


def segment_numbers(folder: Path) -> list[int]:
    """Return the numbers of the segments in a folder, in order."""
    names = [name.removeprefix(_PREFIX) for name in os.listdir(folder) if name.startswith(_PREFIX)]
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def read_segment(folder: Path, number: int, start: int = 0, size: int = -1) -> memoryview:
    """Return the bytes of a segment from an offset on. Raises FileNotFoundError where it is gone."""
    with open(os.path.join(folder, f"{_PREFIX}{number}"), "rb", buffering=0) as file:
        file.seek(start)
        return memoryview(file.read(size))


def stamp_of_segments(folder: Path) -> object:
    """Return a value that differs after a segment was written, made or removed by another process."""
    found = []
    for number in segment_numbers(folder):
        with suppress(FileNotFoundError):
            status = os.stat(os.path.join(folder, f"{_PREFIX}{number}"))
            found.append((number, status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def remove_segments(folder: Path, numbers: list[int]) -> None:
    """Remove segments; those that are gone already do not matter. Their names need not be gone durably."""
    for number in numbers:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, f"{_PREFIX}{number}"))
        failpoint("log-segment-removed")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    written = os.pwrite(descriptor, data, offset)  # all of it, but at the end of the space
    view, offset = memoryview(data)[written:], offset + written
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
