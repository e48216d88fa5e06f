"""The log in a generation's folder: which segments are part of it, their records, and where it ends.

1. The newest segment with a header is the last one. Each header says where the log ends in the segment before
   it, so only the last one's end is to be found. Segments that no header leads to are no part of the log.
2. Records up to the checkpoint are in LMDB. The segments that have only such records may be gone.
3. At most the newest record is in doubt: the one before it was synced before it was written. It is in doubt
   unless it lies before the acknowledged end.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.log_files import holds, read_end, read_segment, segment_numbers
from yamcs_archive.storage.format.log_segments import (
    HEADER_BYTES,
    NOWHERE,
    Framed,
    LogEnd,
    Place,
    SegmentHeader,
    decode_header,
    records_from,
    valid_behind,
)


class LogGoneError(DamagedError):
    """Records are missing: they are in LMDB by now, if a writer is at work, or else they are lost."""


class FoundLog(NamedTuple):
    """What a folder has of the log."""

    records: list[Framed]
    """Those after the checkpoint, in order."""
    sequence: int
    """The number of the last one; that of the checkpoint if there is none."""
    place: Place
    """Behind the last record."""
    link: Place
    """Where a new segment's header says that the log ends before it, if the doubtful record is written
    anew.
    """
    doubtful: Framed | None
    """The last record, if it may not be on the medium."""
    kept: list[int]
    """The numbers of the segments that have those records, but for the one of a doubtful record alone."""
    present: list[int]
    """The numbers of all segments."""
    end: LogEnd | None
    """The acknowledged end that was found."""


class _Folder(NamedTuple):
    path: Path
    archive: bytes | None
    """What each segment must name; None: that is not known."""


class _Segment(NamedTuple):
    header: SegmentHeader
    data: memoryview


def read_log(
    folder: Path, checkpoint: int, archive: bytes | None = None, *, acknowledged: bool = False
) -> FoundLog:
    """Return the records after those up to ``checkpoint``, and where they end.

    ``archive``: the first bytes of the lineage, which each segment must name; None: that is not known.
    ``acknowledged``, for who does not write: what lies beyond the acknowledged end is not looked at, if that
    holds. Raises DamagedError for a record that is damaged, LogGoneError where some are
    missing.
    """
    end = read_end(folder)  # first: what is acknowledged after this is behind what is read
    try:
        return _read_log(_Folder(folder, archive), checkpoint, end, acknowledged=acknowledged and holds(end))
    except FileNotFoundError as error:
        raise LogGoneError(str(folder), f"a segment of the log was removed ({error})") from error


def _read_log(folder: _Folder, checkpoint: int, end: LogEnd | None, *, acknowledged: bool) -> FoundLog:
    present = segment_numbers(folder.path)
    if acknowledged and end is not None:
        present = [number for number in present if number <= end.number]
    chain = _chain(folder, present, checkpoint)
    told = end if end is not None and end.sequence > checkpoint else None
    if told is not None:
        _check_end(chain, told)
    if not chain:
        return FoundLog([], checkpoint, NOWHERE, NOWHERE, None, [], present, end)
    if acknowledged and end is not None and chain[-1].header.number == end.number:
        header, data = chain[-1]
        chain[-1] = _Segment(header, data[: end.offset])
    found: list[Framed] = []
    for segment, following in zip(chain, [*chain[1:], None], strict=True):
        found += _records_of(segment, None if following is None else following.header, told)
    last = chain[-1].header
    place = found[-1].after if found and found[-1].after.number == last.number else last.begin
    sequence = max(checkpoint, found[-1].sequence if found else last.first - 1)
    left = [record for record in found if record.sequence > checkpoint]
    doubtful = left[-1] if left and left[-1].after == place and not _acknowledged(place, end) else None
    link = place if doubtful is None else doubtful.before
    kept = [segment.header.number for segment in chain]
    if link.offset == HEADER_BYTES:  # nothing else is in the segment: its header is in doubt too
        link = last.before
        kept.pop()
    return FoundLog(left, sequence, place, link, doubtful, kept if left else [], present, end)


def _chain(folder: _Folder, present: list[int], checkpoint: int) -> list[_Segment]:
    """Return the segments from the one with the first record after the checkpoint on."""
    chain: list[_Segment] = []
    for number in reversed(present):
        if not chain:
            if (last := _segment(folder, number)) is not None:
                chain.append(last)
            continue
        header = chain[0].header
        if header.first <= checkpoint + 1:
            break
        if number != header.before.number:
            continue
        segment = _segment(folder, number)
        if segment is None or segment.header.epoch != header.before.epoch:
            raise DamagedError(f"log-{number}", f"it is not the segment that log-{header.number} continues")
        chain.insert(0, segment)
    if chain and chain[0].header.first > checkpoint + 1:
        header = chain[0].header
        raise LogGoneError(
            f"log-{header.number}", f"records {checkpoint + 1} to {header.first - 1} before it are missing"
        )
    return chain


def _check_end(chain: list[_Segment], end: LogEnd) -> None:
    """Raise DamagedError unless the segment that the acknowledged end names is part of the log.

    It is an older end after a power cut, never one of another log: numbers of segments are not used again.
    """
    found = next((header for header, _ in chain if header.number == end.number), None)
    if found is None:
        raise LogGoneError(f"log-{end.number}", f"records up to {end.sequence} were acknowledged")
    if found.epoch != end.epoch:
        raise DamagedError(f"log-{end.number}", "it is not the segment in which records were acknowledged")


def _segment(folder: _Folder, number: int) -> _Segment | None:
    data = read_segment(folder.path, number)
    try:
        header = decode_header(data, number)
    except DamagedError:
        if len(bytes(data).rstrip(b"\0")) > HEADER_BYTES:
            raise
        return None  # the first write was torn within the header: no record was acknowledged
    if header is None:
        return None
    if folder.archive not in (None, header.archive):
        raise DamagedError(f"log-{number}", "it is a segment of another archive")
    return _Segment(header, data)


def _records_of(segment: _Segment, following: SegmentHeader | None, end: LogEnd | None) -> list[Framed]:
    header, data = segment
    stop = len(data) if following is None else min(len(data), following.before.offset)
    found = list(records_from(data, header.begin, header.first, stop))
    place = found[-1].after if found else header.begin
    where = f"log-{header.number}"
    if following is not None:
        if place != following.before or following.first != header.first + len(found):
            raise DamagedError(
                where, f"the record at {place.offset} is damaged; it ends at {following.before.offset}"
            )
        return found
    acknowledged = 0
    if end is not None and (end.number, end.epoch) == (header.number, header.epoch):
        acknowledged = end.offset
    if place.offset < acknowledged:
        raise DamagedError(where, f"the record at {place.offset} is damaged; it was acknowledged")
    if (behind := valid_behind(data, header.epoch, place.offset + 1)) is not None:
        raise DamagedError(where, f"the record at {place.offset} is damaged; the one at {behind} is not")
    return found


def _acknowledged(place: Place, end: LogEnd | None) -> bool:
    return end is not None and (end.number, end.epoch) == place[:2] and end.offset >= place.offset
