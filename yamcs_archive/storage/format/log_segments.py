"""The segments of the commit log <-> bytes: header, records in their frames, and what ends the log; pure.

1. A segment is a header and records, followed by zeros. Its epoch is random, and every record names it, so
   neither stale bytes of the medium nor a message that looks like a record can pass for one.
2. A record is valid by itself if its epoch and its checksum are right. It continues the log if it also has
   the sequence number that is due and the checksum of the record before it.
3. A record is written after the one before it was synced. So where no record continues the log, a valid one
   of the same epoch behind that place is proof of damage; else it is the end, torn or not.
4. No length is trusted before the checksum over it was found right.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

import numpy as np

from yamcs_archive.errors import DamagedError

_HEADER = struct.Struct(">8sIIQQQIII8sI")
_MAGIC, _FORM = b"yarclog\0", 1
HEADER_BYTES = _HEADER.size
_FRAME = struct.Struct(">IIQII")
_FRAME_HEAD, _CHECKSUM = struct.Struct(">IIQI"), struct.Struct(">I")
FRAME_BYTES = _FRAME.size
"""Bytes of a record before its payload."""
_ALIGNED = 8
ARCHIVE_BYTES = 8
"""The first bytes of the lineage, by which a segment of another archive is known."""
_END = struct.Struct(">QIIQII")
_END_HEAD = struct.Struct(">QIIQI")
_PADDING = tuple(bytes(count) for count in range(_ALIGNED))
END_BYTES = _END.size
"""Bytes of the acknowledged end."""


class Place(NamedTuple):
    """A place between two records of a segment."""

    number: int
    """Of the segment; 0: there is no segment."""
    epoch: int
    offset: int
    checksum: int
    """That of the record before, or of the header if there is none."""


NOWHERE = Place(0, 0, 0, 0)


class SegmentHeader(NamedTuple):
    """The head of a segment."""

    epoch: int
    number: int
    """As in the file's name."""
    first: int
    """The sequence number of its first record."""
    before: Place
    """Where the log ends in the segment before this one."""
    archive: bytes = bytes(ARCHIVE_BYTES)
    """The first bytes of the lineage of the archive that it belongs to."""

    def encode(self) -> bytes:
        """Return the header.

        >>> header = SegmentHeader(7, 2, 15, Place(1, 6, 64, 5))
        >>> decode_header(header.encode(), 2) == header, len(header.encode())
        (True, 64)
        """
        numbers = self.epoch, self.number, self.first
        head = _HEADER.pack(_MAGIC, _FORM, *numbers, *self.before, self.archive, 0)[:-4]
        return head + crc32(head).to_bytes(4, "big")

    @property
    def begin(self) -> Place:
        """The place of the first record."""
        return Place(self.number, self.epoch, HEADER_BYTES, crc32(self.encode()))


def decode_header(data: bytes | memoryview, number: int) -> SegmentHeader | None:
    """Return the header of the segment of that number, or None if there are only zeros. Raises
    DamagedError.
    """
    head = bytes(data[:HEADER_BYTES])
    if not any(head):
        return None
    where = f"log-{number}"
    if not is_header(head):
        raise DamagedError(where, "the checksum of its header is wrong")
    magic, form, epoch, named, first, *before, archive, _ = _HEADER.unpack(head)
    if magic != _MAGIC or form != _FORM or named != number or not epoch:
        raise DamagedError(where, "its header is of another form, or of another segment")
    return SegmentHeader(epoch, number, first, Place(*before), archive)


def is_header(head: bytes | memoryview) -> bool:
    """Return whether bytes begin with a header whose checksum is right, of whatever segment."""
    head = bytes(head[:HEADER_BYTES])
    return len(head) == HEADER_BYTES and crc32(head[:-4]) == int.from_bytes(head[-4:], "big")


def frame(payload: bytes, sequence: int, place: Place) -> tuple[bytes, Place]:
    """Return a record, with the zeros after it, and the place behind it.

    >>> data, after = frame(b"payload", 1, SegmentHeader(7, 1, 1, NOWHERE).begin)
    >>> len(data), after.offset
    (32, 96)
    """
    number, epoch, offset, before = place
    size = len(payload)
    head = _FRAME_HEAD.pack(epoch, size, sequence, before)
    checksum = crc32(payload, crc32(head))
    data = b"".join((head, _CHECKSUM.pack(checksum), payload, _PADDING[-(FRAME_BYTES + size) % _ALIGNED]))
    return data, Place(number, epoch, offset + len(data), checksum)


class Framed(NamedTuple):
    """A record as it was found."""

    sequence: int
    payload: memoryview
    before: Place
    after: Place


def records_from(data: memoryview, place: Place, sequence: int, stop: int) -> Iterator[Framed]:
    """Yield the records that continue the log at a place, up to the offset ``stop``.

    ``data`` is the segment; the first record must have the number ``sequence``.
    """
    while (found := _record_at(data, place, stop)) is not None and found.sequence == sequence:
        yield found
        place, sequence = found.after, sequence + 1


def _record_at(data: memoryview, place: Place, stop: int) -> Framed | None:
    offset = place.offset
    if offset + FRAME_BYTES > stop:
        return None
    epoch, size, sequence, before, checksum = _FRAME.unpack_from(data, offset)
    begin = offset + FRAME_BYTES
    if epoch != place.epoch or before != place.checksum or not 0 < size <= stop - begin:
        return None
    payload = data[begin : begin + size]
    if crc32(payload, crc32(data[offset : begin - 4])) != checksum:
        return None
    end = begin + size
    return Framed(sequence, payload, place, Place(place.number, epoch, end + -end % _ALIGNED, checksum))


def valid_behind(data: memoryview, epoch: int, offset: int) -> int | None:
    """Return the offset of a record of that epoch that is valid by itself, from ``offset`` on; None: none is.

    >>> place = SegmentHeader(7, 1, 1, NOWHERE).begin
    >>> data = memoryview(bytes(64) + frame(b"payload", 1, place)[0])
    >>> valid_behind(data, 7, 8), valid_behind(data, 8, 8)
    (64, None)
    """
    found = next(valid_records(data, epoch, offset), None)
    return None if found is None else found.before.offset


def valid_records(data: memoryview, epoch: int, offset: int) -> Iterator[Framed]:
    """Yield the records of that epoch that are valid by themselves, from ``offset`` on."""
    begin = offset + -offset % _ALIGNED
    end = len(data) - len(data) % _ALIGNED
    words = np.frombuffer(data[begin:end], ">u4")[::2] if begin < end else np.empty(0, ">u4")
    reached = begin
    for at in np.flatnonzero(words == epoch).tolist():
        start: int = begin + at * _ALIGNED
        if start >= reached and (found := valid_record(data, epoch, start)) is not None:
            yield found
            reached = found.after.offset


def valid_record(data: memoryview, epoch: int, offset: int) -> Framed | None:
    """Return the record of that epoch at an offset if it is valid by itself, whatever was before it."""
    if offset + FRAME_BYTES > len(data):
        return None
    before = _FRAME.unpack_from(data, offset)[3]
    return _record_at(data, Place(0, epoch, offset, before), len(data))


class LogEnd(NamedTuple):
    """The acknowledged end of the log."""

    number: int
    """Of its segment."""
    epoch: int
    offset: int
    """Behind the last acknowledged record."""
    sequence: int
    """That record's number."""
    boot: int
    """The start of the machine in which it was written: after another one it may be an older end."""

    def encode(self) -> bytes:
        """Return its bytes.

        >>> decode_end(LogEnd(1, 7, 96, 3, 5).encode())
        LogEnd(number=1, epoch=7, offset=96, sequence=3, boot=5)
        """
        head = _END_HEAD.pack(*self)
        return head + _CHECKSUM.pack(crc32(head))


def decode_end(data: bytes) -> LogEnd | None:
    """Return the acknowledged end; None if the bytes are none: torn, or of an earlier life of the machine."""
    if len(data) != END_BYTES or crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        return None
    *values, _ = _END.unpack(data)
    return LogEnd(*values)
