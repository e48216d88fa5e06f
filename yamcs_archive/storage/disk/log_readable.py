"""What can be read of a log that is damaged: every record that is valid by itself, and what is wrong with it.

1. A segment is part of the log as :mod:`log_chain` says, as far as headers can be read: one that no header
   leads to is not, nor are records beyond the place at which its successor says that it ends.
2. A record is given if it is valid by itself. What is between two of them, and what the acknowledged end or
   a successor's header says was there, is damage. Behind the last record of the last segment a damaged one
   cannot be told from a torn one, unless it was acknowledged.
3. Nothing raises: what cannot be read is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.log_files import holds, read_end, read_segment, segment_numbers
from yamcs_archive.storage.format.log_records import LogRecord, decode_payload
from yamcs_archive.storage.format.log_segments import (
    HEADER_BYTES,
    Framed,
    LogEnd,
    Place,
    SegmentHeader,
    decode_header,
    is_header,
    valid_behind,
    valid_records,
)
from yamcs_archive.storage.format.meta import Checkpoint

_FOREIGN = "it is a segment of another archive"


class LogDamage(NamedTuple):
    """Something of a log that cannot be read."""

    where: str
    """The segment, and the place in bytes, or the numbers of records."""
    reason: str
    first: int | None = None
    """The number of the first record that is lost, as far as it is known."""
    last: int | None = None

    @property
    def error(self) -> DamagedError:
        """The error for who meets it."""
        return DamagedError(self.where, self.reason)


class Readable(NamedTuple):
    """What can be read of a log, and what cannot."""

    records: list[LogRecord]
    """Those after the checkpoint, in order; where some are lost, numbers are missing."""
    carrying: set[int]
    """The numbers of those whose carried events count."""
    damage: list[LogDamage]

    def commits_of(self, lost: LogDamage, head: int) -> tuple[int, int | None] | None:
        """Return the first and the last number of the commits of lost records; None if they had none.

        ``head`` is the newest commit that LMDB has. None for the last one: nobody knows where they ended.
        """
        if lost.first is None and lost.last is None:
            return None
        before = [record for record in self.records if lost.first is None or record.sequence < lost.first]
        after = [record for record in self.records if lost.last is not None and record.sequence > lost.last]
        if lost.first is None and lost.last is not None:
            before = [record for record in before if record.sequence <= lost.last]
        first = max([head, *(commit.number for record in before for commit in record.commits)]) + 1
        follow = min((commit.number for record in after for commit in record.commits), default=None)
        return (first, None) if follow is None else (first, follow - 1) if follow > first else None


class _Part(NamedTuple):
    """A segment of the log, and how far it belongs to it."""

    number: int
    data: memoryview
    header: SegmentHeader | None
    """None: it is damaged."""
    following: SegmentHeader | None
    """That of the next segment, if it says where this one ends."""

    @property
    def end(self) -> Place | None:
        """Where the next segment says that this one ends, if it says it."""
        return None if self.following is None else self.following.before


def readable_log(
    folder: Path, checkpoint: Checkpoint, archive: bytes | None = None, *, acknowledged: bool = False
) -> Readable:
    """Return the records after a checkpoint that can be read, and what cannot.

    ``archive``: the first bytes of the lineage, which each segment must name; None: that is not known.
    ``acknowledged``: what lies beyond the acknowledged end is not looked at, if that holds.
    """
    damage: list[LogDamage] = []
    try:
        end = read_end(folder)
        acknowledged = acknowledged and holds(end)
        parts = _parts(folder, checkpoint.last, archive, end, damage, acknowledged=acknowledged)
    except OSError as error:
        damage.append(LogDamage("the log", str(error)))
        return Readable([], set(), damage)
    found: dict[int, LogRecord] = {}
    for part in parts:
        for framed in _records_of(part, end, checkpoint.last, damage):
            if framed.sequence > checkpoint.last:
                try:
                    found[framed.sequence] = decode_payload(framed.sequence, framed.payload)
                except DamagedError as error:
                    where = f"log-{part.number}, byte {framed.before.offset}"
                    damage.append(LogDamage(where, error.reason, framed.sequence, framed.sequence))
    _note_missing(found, checkpoint, end, damage)
    carrying = _carrying(found, checkpoint, damage)
    return Readable([found[sequence] for sequence in sorted(found)], carrying, damage)


def foreign_segments(folder: Path, archive: bytes) -> list[LogDamage]:
    """Return the segments with a whole header that is not of this log.

    A writer refuses them, also those behind the acknowledged end, which readers do not look at.
    """
    found = []
    for number in segment_numbers(folder):
        try:
            data = read_segment(folder, number, 0, HEADER_BYTES)
        except FileNotFoundError:  # LMDB has all of it
            continue
        try:
            header = decode_header(data, number)
        except DamagedError as error:
            if is_header(data):
                found.append(LogDamage(f"log-{number}", error.reason))
        else:
            if header is not None and header.archive != archive:
                found.append(LogDamage(f"log-{number}", _FOREIGN))
    return found


def _parts(
    folder: Path,
    checkpoint: int,
    archive: bytes | None,
    end: LogEnd | None,
    damage: list[LogDamage],
    *,
    acknowledged: bool,
) -> list[_Part]:
    """Return the segments of the log, in order."""
    parts: list[_Part] = []
    following: SegmentHeader | None = None
    for number in reversed(segment_numbers(folder)):
        if following is not None and following.first <= checkpoint + 1:
            break
        if following is not None and number > following.before.number:
            continue  # left out of the log after a failure
        if acknowledged and end is not None and number > end.number:
            continue
        where = f"log-{number}"
        try:
            data = read_segment(folder, number)
        except OSError as error:
            damage.append(LogDamage(where, str(error)))
            continue
        if acknowledged and end is not None and number == end.number:
            data = data[: end.offset]
        begun = end is not None and end.number == number and end.sequence > checkpoint
        try:
            header = decode_header(data, number)
        except DamagedError as error:
            if not any(data[HEADER_BYTES:]) and not begun and not parts:
                continue  # the first write was torn within the header
            damage.append(LogDamage(where, error.reason))
            if is_header(data):
                continue  # that of another segment
            parts.insert(0, _Part(number, data, None, _ending(following, number)))
            following = None
            continue
        if header is None:
            if begun or _ending(following, number) is not None:
                damage.append(LogDamage(where, "it is empty, and had records"))
            continue
        wrong = _wrong(header, archive, following, end if begun else None)
        if wrong is not None:
            damage.append(LogDamage(where, wrong))
            continue
        parts.insert(0, _Part(number, data, header, _ending(following, number)))
        following = header
    return parts


def _ending(following: SegmentHeader | None, number: int) -> SegmentHeader | None:
    return following if following is not None and following.before.number == number else None


def _wrong(
    header: SegmentHeader, archive: bytes | None, following: SegmentHeader | None, end: LogEnd | None
) -> str | None:
    """Return why a segment is not of this log; None if it is."""
    if archive not in (None, header.archive):
        return _FOREIGN
    if following is not None and following.before[:2] != (header.number, header.epoch):
        return f"it is not the segment that log-{following.number} continues"
    if end is not None and end.epoch != header.epoch:
        return "it is not the segment in which records were acknowledged"
    return None


def _records_of(
    part: _Part, end: LogEnd | None, checkpoint: int, damage: list[LogDamage]
) -> Iterator[Framed]:
    """Yield the records of a segment that are valid by themselves, and note what is between them."""
    number, data, header, following = part
    epoch = _epoch_of(part, end) if header is None else header.epoch
    stop = part.end
    known = data if stop is None else data[: stop.offset]
    place, due = None if header is None else header.begin, None if header is None else header.first
    offset = HEADER_BYTES
    for record in valid_records(known, epoch, HEADER_BYTES):
        at = record.before.offset
        if due is not None and record.sequence < due:
            break
        if at > offset or due not in (None, record.sequence):
            if record.sequence - 1 > checkpoint:
                damage.append(_damaged(number, offset, at, due, record.sequence - 1))
        elif place is not None and record.before.checksum != place.checksum:
            damage.append(
                LogDamage(f"log-{number}, byte {at}", "the record does not continue the one before")
            )
        yield record
        place, offset, due = record.after, record.after.offset, record.sequence + 1
    if stop is not None:
        last, until = stop.offset, following.first - 1 if following is not None else None
    elif end is not None and (end.number, end.epoch) == (number, epoch) and end.sequence > checkpoint:
        last, until = end.offset, end.sequence
    else:
        return
    if offset < last:
        damage.append(_damaged(number, offset, last, due, until))
    elif stop is not None and place is not None and place.checksum != stop.checksum:
        reason = (
            f"it is not the end that log-{number + 1 if following is None else following.number} continues"
        )
        damage.append(LogDamage(f"log-{number}, byte {offset}", reason))


def _epoch_of(part: _Part, end: LogEnd | None) -> int:
    """Return the epoch of a segment whose header is damaged: every record begins with it."""
    told = [int.from_bytes(part.data[at : at + 4], "big") for at in (HEADER_BYTES, 12)]
    if part.end is not None:
        told.insert(0, part.end.epoch)
    if end is not None and end.number == part.number:
        told.insert(0, end.epoch)
    return next((epoch for epoch in told if epoch and valid_behind(part.data, epoch, 0) is not None), 0)


def _damaged(number: int, start: int, stop: int, first: int | None, last: int | None) -> LogDamage:
    where = f"log-{number}, bytes {start} to {stop - 1}"
    if first is None:
        return LogDamage(where, "records are damaged", None, last)
    if last is None:
        return LogDamage(where, f"the records from {first} on are damaged", first, None)
    if last < first:
        return LogDamage(where, "these bytes are no record", first, last)
    which = f"record {first} is" if first == last else f"the records {first} to {last} are"
    return LogDamage(where, f"{which} damaged", first, last)


def _note_missing(
    found: dict[int, LogRecord], checkpoint: Checkpoint, end: LogEnd | None, damage: list[LogDamage]
) -> None:
    """Note the records that are lost and of which no damage tells."""
    told = [(each.first, each.last) for each in damage if each.first is not None]
    expected = checkpoint.last + 1
    greatest = max([checkpoint.last if end is None else end.sequence, *found])
    for sequence in [*sorted(found), greatest + 1]:
        if sequence > expected and not any(
            first <= expected and (until is None or sequence - 1 <= until) for first, until in told
        ):
            last = sequence - 1
            where, reason = f"records {expected} to {last} of the log", "they are missing"
            if last == expected:
                where, reason = f"record {expected} of the log", "it is missing"
            damage.append(LogDamage(where, reason, expected, last))
        expected = sequence + 1


def _carrying(found: Mapping[int, LogRecord], checkpoint: Checkpoint, damage: list[LogDamage]) -> set[int]:
    """Return the numbers of the records whose carried events count: the one that LMDB names, and those that
    one that counts names.
    """
    numbers: set[int] = set()
    number = checkpoint.carried
    while number:
        record = found.get(number)
        if record is None or record.carried is None or record.carried.before >= number:
            where = f"record {number} of the log"
            damage.append(LogDamage(where, "the late events that it carries are lost"))
            break
        numbers.add(number)
        number = record.carried.before
    return numbers
